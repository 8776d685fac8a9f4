"""Public keys in the form in which DKIM records have them."""

import base64

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat


def rsa_value(bits: int, form: PublicFormat = PublicFormat.SubjectPublicKeyInfo) -> str:
    """Return a new RSA key as the value of `p=`."""
    public = rsa.generate_private_key(65537, bits).public_key()
    return base64.b64encode(public.public_bytes(Encoding.DER, form)).decode()


KEY = rsa_value(2048)
