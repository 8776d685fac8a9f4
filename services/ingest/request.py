"""The headers and the body of one request. `runtime.http.request_limits` limits the size of the body."""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Final

from starlette.exceptions import HTTPException
from starlette.types import Message, Receive, Scope

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
        self.path_params: Mapping[str, str] = scope.get("path_params", {})
        # Reversed, so that the first of several headers with one name counts.
        self._headers: dict[bytes, bytes] = dict(reversed(scope["headers"]))

    def header(self, name: bytes) -> str | None:
        """Return the value of a header, or None if it is missing. `name` must be in lower case."""
        value = self._headers.get(name)
        return None if value is None else value.decode("latin-1")

    def media_type(self) -> str:
        """Return the body's media type in lower case, or an empty text if it is missing.

        Raises `ProblemError` if the body has a `Content-Encoding` other than `identity`.
        """
        encoding = self.header(b"content-encoding")
        if encoding and encoding.strip().lower() not in ("", "identity"):
            raise ProblemError(UNSUPPORTED_ENCODING)
        return (self.header(b"content-type") or "").partition(";")[0].strip().lower()

    async def read_body(self) -> bytes:
        """Return the body without a byte order mark. The body must be JSON.

        A body without a media type is accepted. curl's default is the media type of a form: it is accepted if
        the body begins with a brace.

        Raises `ProblemError` if the body is too large, arrives too slowly, is compressed or has another media
        type, or if the client disconnects.
        """
        media_type = self.media_type()
        # curl sends the form type by default.
        if media_type not in ("", "application/json", _FORM) and not media_type.endswith("+json"):
            raise ProblemError(UNSUPPORTED_MEDIA_TYPE)
        # Most leads are one chunk, which the generator `chunks` would make 4 us slower.
        body, more = await self._receive_chunk()
        if more:
            body = b"".join([body, *[chunk async for chunk in self.chunks()]])
        # RFC 8259 allows a parser to ignore a byte order mark.
        text = body.removeprefix(_BYTE_ORDER_MARK)
        if media_type == _FORM and not text.lstrip().startswith(b"{"):
            raise ProblemError(UNSUPPORTED_MEDIA_TYPE)
        return text

    async def chunks(self, max_bytes: int | None = None) -> AsyncIterator[bytes]:
        """Yield the body as it arrives. The whole body may have at most `max_bytes`.

        Raises `ProblemError` if the body is too large or arrives too slowly, or if the client disconnects.
        """
        size, more = 0, True
        while more:
            chunk, more = await self._receive_chunk()
            size += len(chunk)
            if max_bytes is not None and size > max_bytes:
                raise ProblemError(TOO_LARGE)
            yield chunk

    async def buffer_body(self, max_bytes: int) -> bytes:
        """Receive and return the whole body, and buffer it, so that a later read returns it again.

        Raises `ProblemError` as `chunks` does.
        """
        body = b"".join([chunk async for chunk in self.chunks(max_bytes)])

        async def receive_again() -> Message:
            return {"type": "http.request", "body": body}

        self._receive = receive_again
        return body

    async def _receive_chunk(self) -> tuple[bytes, bool]:
        """Return the next bytes of the body, and whether more follow."""
        try:
            message = await self._receive()
        except HTTPException as error:
            raise ProblemError(TOO_LARGE if error.status_code == TOO_LARGE.status else TOO_SLOW) from None
        if message["type"] == "http.disconnect":
            raise ProblemError(DISCONNECTED)
        return message.get("body", b""), message.get("more_body", False)


class ReceivedRequest(LeadRequest):
    """A request that has arrived completely."""

    def __init__(self, headers: Sequence[tuple[bytes, bytes]], body: bytes) -> None:
        super().__init__({"headers": headers}, _nothing)
        self._body = body

    async def _receive_chunk(self) -> tuple[bytes, bool]:
        return self._body, False


async def _nothing() -> Message:
    return {"type": "http.disconnect"}
