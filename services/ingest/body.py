"""A request's head and body, bounded in bytes and in time. What they say is judged elsewhere."""

import asyncio
import contextlib
from typing import Final

from starlette.types import Receive, Scope

from runtime.arrival import WHOLE
from services.ingest.problems import DISCONNECTED, ENCODING, MEDIA, TOO_LARGE, TOO_SLOW, Refused

MAX_BYTES: Final = 64 * 1024
# How much of a refused body is read away, so that a client which is still sending can hear the
# answer: closing on unread bytes resets the connection, and the answer is lost with it.
_DISCARD_BYTES: Final = 16 * 1024 * 1024
_DISCARD_SECONDS: Final = 1.0
_BOM: Final = b"\xef\xbb\xbf"
_FORM: Final = "application/x-www-form-urlencoded"


class Body:
    """A request's headers by name, and its body as it arrives."""

    def __init__(self, scope: Scope, receive: Receive) -> None:
        self._scope = scope
        self._receive = receive
        self._whole = False
        self._headers: dict[bytes, bytes] = {}
        for name, value in scope["headers"]:
            self._headers.setdefault(name, value)  # of a header given twice the first counts

    def header(self, name: bytes) -> str | None:
        """Return a header's value, whose name is in lower case; None where there is none."""
        value = self._headers.get(name)
        return None if value is None else value.decode("latin-1")

    async def read(self, deadline_seconds: float) -> bytes:
        """Return the JSON text, or refuse: too large, too slow, another media type."""
        media_type = self._media_type()
        declared = self.header(b"content-length") or ""
        # Compared as text first: a number of a million digits is no number to convert.
        if declared.isdecimal() and (len(declared) > len(str(MAX_BYTES)) or int(declared) > MAX_BYTES):
            raise Refused(TOO_LARGE)
        try:
            # A deadline costs 5 us, a lead's validation 13: none for what is here already.
            async with (
                contextlib.nullcontext() if WHOLE in self._scope else asyncio.timeout(deadline_seconds)
            ):
                body = await self._chunk()
                while not self._whole and len(body) <= MAX_BYTES:
                    body += await self._chunk()
        except TimeoutError:
            raise Refused(TOO_SLOW) from None
        if len(body) > MAX_BYTES:
            raise Refused(TOO_LARGE)
        # RFC 8259 lets a reader pass over a byte order mark.
        text = body.removeprefix(_BOM)
        if media_type == _FORM and not text.lstrip().startswith(b"{"):
            raise Refused(MEDIA)
        return text

    async def _chunk(self) -> bytes:
        message = await self._receive()
        if message["type"] == "http.disconnect":
            self._whole = True
            raise Refused(DISCONNECTED)
        self._whole = not message.get("more_body", False)
        chunk: bytes = message.get("body", b"")
        return chunk

    def _media_type(self) -> str:
        """Accept JSON by its names, nothing said, and what curl says when people forget to."""
        encoding = self.header(b"content-encoding")
        if encoding and encoding.strip().lower() not in ("", "identity"):
            raise Refused(ENCODING)
        media_type = (self.header(b"content-type") or "").partition(";")[0].strip().lower()
        if media_type in ("", "application/json", _FORM) or media_type.endswith("+json"):
            return media_type
        raise Refused(MEDIA)

    async def discard(self) -> bool:
        """Read away, bounded, what is left of a refused body; return True where that was all of it."""
        if (self.header(b"expect") or "").lower() == "100-continue":
            return False  # The client waits for our word before it sends.
        left = _DISCARD_BYTES
        try:
            async with asyncio.timeout(_DISCARD_SECONDS):
                while not self._whole:
                    left -= len(await self._chunk())
                    if left < 0:
                        return False
        except (TimeoutError, Refused):
            return False
        return True
