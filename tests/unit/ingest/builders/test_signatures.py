import base64
import hashlib
import hmac

import pytest

from services.ingest.builders.signatures import SIGNATURES

BODY = b'{"a":1}'
SECRET = "a-signing-secret"


def _hmac(message: bytes) -> bytes:
    return hmac.new(SECRET.encode(), message, hashlib.sha256).digest()


HEADERS = {
    "typeform": {b"typeform-signature": "sha256=" + base64.b64encode(_hmac(BODY)).decode()},
    "tally": {b"tally-signature": base64.b64encode(_hmac(BODY)).decode()},
    "webflow": {
        b"x-webflow-timestamp": "1790000000000",
        b"x-webflow-signature": _hmac(b"1790000000000:" + BODY).hex(),
    },
    "framer": {
        b"framer-webhook-submission-id": "s1",
        b"framer-signature": "sha256=" + _hmac(BODY + b"s1").hex(),
    },
}


@pytest.mark.parametrize("builder", SIGNATURES)
def test_body_that_the_builder_signed_is_valid(builder: str) -> None:
    assert SIGNATURES[builder].is_valid(SECRET, HEADERS[builder].get, BODY)


@pytest.mark.parametrize("builder", SIGNATURES)
def test_other_body_secret_or_missing_header_is_invalid(builder: str) -> None:
    signature, headers = SIGNATURES[builder], HEADERS[builder]

    assert not signature.is_valid(SECRET, headers.get, BODY + b" ")
    assert not signature.is_valid("another", headers.get, BODY)
    assert not signature.is_valid(SECRET, lambda _: None, BODY)
    assert not signature.is_valid(SECRET, {signature.header: "ü"}.get, BODY)
