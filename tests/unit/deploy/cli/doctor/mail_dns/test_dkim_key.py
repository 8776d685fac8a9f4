"""What the record of a DKIM selector says."""

import base64

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from deploy.cli.doctor.mail_dns.dkim_key import parse_key, read_key
from deploy.cli.doctor.mail_dns.resolver import Resolver
from tests.support.mail.dkim_keys import KEY, rsa_value
from tests.support.mail.dns_server import DnsServer

ED25519 = base64.b64encode(
    ed25519.Ed25519PrivateKey.from_private_bytes(bytes(32)).public_key().public_bytes_raw()
).decode()
# Made once with openssl genrsa 768, because cryptography makes no such key.
SHORT = (
    "MHwwDQYJKoZIhvcNAQEBBQADawAwaAJhAJ5v8oL9Xr4dd4wNaBdrbDeoln7IlkKl8sIQ25jWBXQrDDGJrcaHsWir99Ewg2Mggo"
    "JonfKigy59O6Mw5v3hINhGcXTJ3J5a0kpP1g+hTAMDQVyWjTY4huVEmaJMuE1gLwIDAQAB"
)
EC = base64.b64encode(
    ec.generate_private_key(ec.SECP256R1())
    .public_key()
    .public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
).decode()


@pytest.mark.parametrize(
    ("record", "description"),
    [
        (f"v=DKIM1; k=rsa; p={KEY}", "RSA 2048"),
        (f"p={KEY[:60]} {KEY[60:]}", "RSA 2048"),
        (f"v=DKIM1; p={rsa_value(2048, PublicFormat.PKCS1)}", "RSA 2048"),
        (f"v=DKIM1; h=sha1:sha256; s=email; t=s; p={rsa_value(3072)}", "RSA 3072"),
        (f"v=DKIM1; k=ed25519; p={ED25519}", "ed25519"),
    ],
)
def test_a_good_key_is_described(record: str, description: str) -> None:
    key = parse_key("s._domainkey.nord.studio", record)
    assert (key.description, key.mistake, key.weakness, key.usable) == (description, "", "", True)


@pytest.mark.parametrize(
    ("record", "mistake"),
    [
        ("v=DKIM1; p=", "the key is revoked: p= is empty"),
        ("v=spf1 -all", "not a DKIM key record: it needs v=DKIM1 and p="),
        (f"v=DKIM2; p={KEY}", "not a DKIM key record: it needs v=DKIM1 and p="),
        (f"v=DKIM1; h=sha1; p={KEY}", "h= does not allow sha256"),
        (f"v=DKIM1; s=tlsrpt; p={KEY}", "s=tlsrpt does not allow email"),
        (f"v=DKIM1; p={KEY[:255]}", "p= is not a key: it may be cut off or split wrongly"),
        ("v=DKIM1; p=not base64!", "p= is not a key: it may be cut off or split wrongly"),
        (f"v=DKIM1; k=ed25519; p={KEY}", "p= is not an ed25519 key"),
        (f"v=DKIM1; p={SHORT}", "RSA of 768 bits, which receivers refuse"),
        (f"v=DKIM1; p={EC}", "k=rsa is not rsa or ed25519"),
    ],
)
def test_a_key_that_no_receiver_can_use_says_why(record: str, mistake: str) -> None:
    key = parse_key("s._domainkey.nord.studio", record)
    assert (key.mistake, key.usable) == (mistake, False)


def test_a_weak_key_and_a_test_are_usable() -> None:
    assert parse_key("s", f"v=DKIM1; p={rsa_value(1024)}").weakness == "RSA of 1024 bits is weak"
    assert parse_key("s", f"v=DKIM1; t=y:s; p={KEY}").weakness == "t=y says that it is only a test"


async def test_a_key_is_read_from_its_selector(zone: DnsServer, resolver: Resolver) -> None:
    zone.txt("s1._domainkey.nord.studio", f"v=DKIM1; p={KEY}")
    zone.txt("s2._domainkey.nord.studio", f"v=DKIM1; p={KEY}", "v=DKIM1; p=")
    assert (await read_key(resolver, "s1", "nord.studio")).value == KEY
    assert "2 TXT records" in (await read_key(resolver, "s2", "nord.studio")).mistake
    assert not (await read_key(resolver, "s3", "nord.studio")).exists
