"""Private keys for DKIM: what is accepted, and what an operator reads otherwise."""

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from services.notifier.mail.dkim_key import make_private_key, parse_private_key

PEM = make_private_key(2048)
# Made once with openssl genrsa 768, because cryptography makes no such key.
SHORT = (
    "MIIB5QIBADANBgkqhkiG9w0BAQEFAASCAc8wggHLAgEAAmEAnm/ygv1evh13jA1oF2tsN6iWfsiWQqXywhDbmNYFdCsMMYmt"
    "xoexaKv30TCDYyCCgmid8qKDLn07ozDm/eEg2EZxdMncnlrSSk/WD6FMAwNBXJaNNjiG5USZoky4TWAvAgMBAAECYDuEXDp+"
    "yZdrZFw1MRQTI4zpBNfNrDyPMFlckdGhHF1eSm9Vg/UfRjLG3wozSjfzntvCnpwnLCeIbijjwrCLTgPtTGzZvPwxdgfbZ8zm"
    "vdG0eKYCZbmwGULjINEpCI8IgQIxANIIWsKwkRmfghzqEryLXK4HtkzHuWHQCvr5ZrHv9hSHxPMG20yF3MNlWJnQXbkNbwIx"
    "AMEc0xLE7W0R/ZmZDeFgwxTHgkkVjaUQGv5W4r6HLuQcsJjnszOPYhIv6FzEVcD5QQIxALVFBKAXJ4QHyJIP60/Sr5B7k3i8"
    "v2CN34wwB9P2mFmru+1Ls6VduuTg6REHZnw5/QIxAJMjslP3xmw3rAIvk1rpjlqz1Tp4eK+PQPIQI75GZF0c2xX2XR1pH7F5"
    "3VNpqWlawQIwMAdo+J0p3iyZSbWn9WtGySw1lMxKmCRMxaewBMWIBuBidT4+DpflBxdr+dbJPpIc"
)
PUBLIC = parse_private_key(PEM).public_key().public_numbers()


def test_a_new_key_has_the_length() -> None:
    assert parse_private_key(PEM).key_size == 2048
    assert make_private_key(2048) != PEM


@pytest.mark.parametrize(
    "text",
    [
        f"\n{PEM}\n",
        PEM.replace("\n", "\\n"),
        PEM.replace("\n", "\r\n"),
        "".join(PEM.splitlines()[1:-1]),
        parse_private_key(PEM)
        .private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
        .decode(),
    ],
    ids=["pem", "one-line", "crlf", "base64", "pkcs1"],
)
def test_a_key_may_stand_in_a_file_or_in_one_line(text: str) -> None:
    assert parse_private_key(text).public_key().public_numbers() == PUBLIC


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is not a private key in PEM form"),
        ("secret", "is not a private key in PEM form"),
        (PEM[:200], "is not a private key in PEM form"),
        (
            parse_private_key(PEM)
            .private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"x"))
            .decode(),
            "without a password",
        ),
        (
            ed25519.Ed25519PrivateKey.from_private_bytes(bytes(32))
            .private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
            .decode(),
            "is not an RSA key",
        ),
        (SHORT, "has 768 bits"),
    ],
    ids=["empty", "text", "cut", "password", "ed25519", "short"],
)
def test_an_unusable_key_says_what_to_do(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        parse_private_key(text)
    assert "python -m deploy.cli.mail dkim-key" in str(caught.value)
    assert text[40:60] not in str(caught.value) or not text[40:60]
