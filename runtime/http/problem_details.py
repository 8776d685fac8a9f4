"""RFC 9457 problem documents for what no service's code sees: malformed, oversized and slow requests."""

import json
from http import HTTPStatus

MEDIA_TYPE = "application/problem+json"


def document(status: HTTPStatus, detail: str) -> bytes:
    """Return the JSON document."""
    slug = status.phrase.lower().replace(" ", "-")
    return json.dumps(
        {
            "type": f"urn:fastcore:problem:{slug}",
            "title": status.phrase,
            "status": status.value,
            "detail": detail,
        }
    ).encode()


def headers_of(body: bytes) -> list[tuple[bytes, bytes]]:
    """Return the headers of a document; its connection is closed, because its request was not read."""
    return [
        (b"content-type", MEDIA_TYPE.encode()),
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", b"no-store"),
        (b"x-content-type-options", b"nosniff"),
        (b"connection", b"close"),
    ]
