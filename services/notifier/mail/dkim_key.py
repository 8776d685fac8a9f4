"""Reads and makes private keys for DKIM. The error messages never contain a part of a key."""

import base64
import binascii
from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_der_private_key,
    load_pem_private_key,
)

BITS_MIN: Final = 1024
"""Receivers refuse shorter keys (RFC 8301)."""
_MAKE: Final = "make one with: python -m deploy.cli.mail dkim-key"


def parse_private_key(text: str) -> RSAPrivateKey:
    r"""Return the key in `text`: PEM, also with `\n` for line breaks, or its base64 in one line.

    Raises `ValueError` if it is no RSA key without a password, or is too short.
    """
    text = text.strip().replace("\\n", "\n")
    try:
        if text.startswith("-----"):
            key = load_pem_private_key(text.encode(), None)
        else:
            key = load_der_private_key(base64.b64decode("".join(text.split()), validate=True), None)
    except (binascii.Error, ValueError, TypeError, UnsupportedAlgorithm):  # TypeError: it needs a password
        raise ValueError(f"is not a private key in PEM form without a password; {_MAKE}") from None
    if not isinstance(key, RSAPrivateKey):
        raise ValueError(  # noqa: TRY004 - the operator's value is wrong
            f"is not an RSA key, which all receivers can verify; {_MAKE}"
        )
    if key.key_size < BITS_MIN:
        raise ValueError(f"has {key.key_size} bits, which receivers refuse; {_MAKE}")
    return key


def make_private_key(bits: int) -> str:
    """Return a new RSA key in PEM form."""
    key = generate_private_key(65537, bits)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
