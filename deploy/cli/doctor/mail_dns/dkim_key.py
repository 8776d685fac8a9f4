"""Reads the public key of a DKIM selector (RFC 6376, 3.6.1; RFC 8463), and evaluates it."""

import base64
import binascii
from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_der_public_key

from deploy.cli.doctor.mail_dns.resolver import Resolver
from deploy.cli.doctor.mail_dns.tags import parse_tags

WEAK_BELOW_BITS: Final = 2048
REFUSED_BELOW_BITS: Final = 1024


@dataclass(frozen=True)
class DkimKey:
    """The published key of a selector.

    `value` is the base64 of the key. `mistake` says why no receiver can use the key. It is empty if the key
    is usable. `weakness` says what should be better.
    """

    name: str
    exists: bool
    value: str = ""
    description: str = ""
    mistake: str = ""
    weakness: str = ""

    @property
    def usable(self) -> bool:
        """Return True if receivers can verify signatures with the key."""
        return self.exists and not self.mistake


async def read_key(resolver: Resolver, selector: str, domain: str) -> DkimKey:
    """Return the key that DNS has for a selector of a domain. Raises `DnsError`."""
    name = f"{selector}._domainkey.{domain}"
    values = (await resolver.txt(name)).values
    if not values:
        return DkimKey(name, exists=False)
    if len(values) > 1:
        mistake = f"{len(values)} TXT records, but only one may exist"
        return DkimKey(name, exists=True, mistake=mistake)
    return parse_key(name, values[0])


def parse_key(name: str, record: str) -> DkimKey:
    """Return what the record of a key says."""
    tags = parse_tags(record)
    value = "".join(tags.get("p", "").split())
    kind = tags.get("k", "rsa").lower()
    mistake, weakness, description = "", "", ""
    if tags.get("v", "DKIM1") != "DKIM1" or "p" not in tags:
        mistake = "not a DKIM key record: it needs v=DKIM1 and p="
    elif not value:
        mistake = "the key is revoked: p= is empty"
    elif "sha256" not in tags.get("h", "sha256").lower().split(":"):
        mistake = "h= does not allow sha256"
    elif tags.get("s", "*").strip() not in ("*", "email"):
        mistake = f"s={tags['s'][:20]} does not allow email"
    else:
        description, mistake, weakness = _parse_value(kind, value)
    if not mistake and "y" in tags.get("t", "").lower().split(":"):
        weakness = weakness or "t=y says that it is only a test"
    return DkimKey(
        name, exists=True, value=value, description=description, mistake=mistake, weakness=weakness
    )


def _parse_value(kind: str, value: str) -> tuple[str, str, str]:
    """Return the description, the mistake and the weakness of a key in base64."""
    try:
        key = base64.b64decode(value, validate=True)
        if kind == "ed25519":
            return "ed25519", "" if len(key) == 32 else "p= is not an ed25519 key", ""
        public = load_der_public_key(key)
    except (binascii.Error, ValueError, UnsupportedAlgorithm):
        return "", "p= is not a key: it may be cut off or split wrongly", ""
    if kind != "rsa" or not isinstance(public, RSAPublicKey):
        return "", f"k={kind[:20]} is not rsa or ed25519", ""
    bits = public.key_size
    if bits < REFUSED_BELOW_BITS:
        return "", f"RSA of {bits} bits, which receivers refuse", ""
    weakness = f"RSA of {bits} bits is weak" if bits < WEAK_BELOW_BITS else ""
    return f"RSA {bits}", "", weakness
