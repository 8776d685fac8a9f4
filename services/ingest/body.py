"""A request's body, bounded in bytes and in time. What it says is judged elsewhere."""

import asyncio
from typing import Final

from starlette.requests import ClientDisconnect, Request

from services.ingest.problems import ENCODING, MEDIA, TOO_LARGE, TOO_SLOW, Refused

MAX_BYTES: Final = 64 * 1024
# How much of a refused body is read away, so that a client which is still sending can hear the
# answer: closing on unread bytes resets the connection, and the answer is lost with it.
_DISCARD_BYTES: Final = 16 * 1024 * 1024
_DISCARD_SECONDS: Final = 1.0
_BOM: Final = b"\xef\xbb\xbf"
_FORM: Final = "application/x-www-form-urlencoded"


async def read_body(request: Request, deadline_seconds: float) -> bytes:
    """Return the JSON text, or refuse: too large, too slow, another media type."""
    media_type = _media_type(request)
    declared = request.headers.get("content-length", "")
    # Compared as text first: a number of a million digits is no number to convert.
    if declared.isdecimal() and (len(declared) > len(str(MAX_BYTES)) or int(declared) > MAX_BYTES):
        raise Refused(TOO_LARGE)
    body = bytearray()
    try:
        async with asyncio.timeout(deadline_seconds):
            async for chunk in request.stream():
                body += chunk
                if len(body) > MAX_BYTES:
                    raise Refused(TOO_LARGE)
    except TimeoutError:
        raise Refused(TOO_SLOW) from None
    # RFC 8259 lets a reader pass over a byte order mark.
    text = bytes(body.removeprefix(_BOM))
    if media_type == _FORM and not text.lstrip().startswith(b"{"):
        raise Refused(MEDIA)
    return text


def _media_type(request: Request) -> str:
    """Accept JSON by its names, nothing said, and what curl says when people forget to."""
    if request.headers.get("content-encoding", "identity").strip().lower() not in ("", "identity"):
        raise Refused(ENCODING)
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type in ("", "application/json", _FORM) or media_type.endswith("+json"):
        return media_type
    raise Refused(MEDIA)


async def discard(request: Request) -> bool:
    """Read away, bounded, what is left of a refused body; return True where that was all of it."""
    if request.headers.get("expect", "").lower() == "100-continue":
        return False  # The client waits for our word before it sends.
    left = _DISCARD_BYTES
    try:
        async with asyncio.timeout(_DISCARD_SECONDS):
            async for chunk in request.stream():
                left -= len(chunk)
                if left < 0:
                    return False
    except (TimeoutError, ClientDisconnect):
        return False
    return True
