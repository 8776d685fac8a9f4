"""The headers and the JSON text of one request. `runtime.http.request_limits` limits the size of the body."""

from typing import Final

from starlette.exceptions import HTTPException
from starlette.types import Receive, Scope

from runtime.http.problem_details import ProblemError
from services.ingest.problems import (
    DISCONNECTED,
    TOO_LARGE,
    TOO_SLOW,
    UNSUPPORTED_ENCODING,
    UNSUPPORTED_MEDIA_TYPE,
)

_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
_FORM: Final = "application/x-www-form-urlencoded"


class LeadRequest:
    """A request's headers by name, and its body."""

    def __init__(self, scope: Scope, receive: Receive) -> None:
        self._receive = receive
        self._headers: dict[bytes, bytes] = {}
        for name, value in scope["headers"]:
            self._headers.setdefault(name, value)  # the first of several headers with one name counts

    def header(self, name: bytes) -> str | None:
        """Return the value of a header, or None if it is missing. `name` is in lower case."""
        value = self._headers.get(name)
        return None if value is None else value.decode("latin-1")

    async def read_body(self) -> bytes:
        """Return the JSON text.

        Raises `ProblemError` if the body is too large, too slow, encoded, or of another media type, or if the
        client disconnects.
        """
        media_type = self._media_type()
        try:
            body = await self._receive_body()
        except HTTPException as error:
            raise ProblemError(TOO_LARGE if error.status_code == TOO_LARGE.status else TOO_SLOW) from None
        # RFC 8259 allows a parser to ignore a byte order mark.
        text = body.removeprefix(_BYTE_ORDER_MARK)
        if media_type == _FORM and not text.lstrip().startswith(b"{"):
            raise ProblemError(UNSUPPORTED_MEDIA_TYPE)
        return text

    async def _receive_body(self) -> bytes:
        message = await self._receive()
        chunks: list[bytes] = [message.get("body", b"")]
        while message.get("more_body", False):
            message = await self._receive()
            chunks.append(message.get("body", b""))
        if message["type"] == "http.disconnect":
            raise ProblemError(DISCONNECTED)
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    def _media_type(self) -> str:
        """Accept the JSON media types, a missing one, and the form type that curl sends by default."""
        encoding = self.header(b"content-encoding")
        if encoding and encoding.strip().lower() not in ("", "identity"):
            raise ProblemError(UNSUPPORTED_ENCODING)
        media_type = (self.header(b"content-type") or "").partition(";")[0].strip().lower()
        if media_type in ("", "application/json", _FORM) or media_type.endswith("+json"):
            return media_type
        raise ProblemError(UNSUPPORTED_MEDIA_TYPE)
