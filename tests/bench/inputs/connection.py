"""A minimal HTTP connection: a Python client library would use more CPU than the server."""

import asyncio
from typing import Self, cast
from urllib.parse import urlsplit

from tests.bench.environment import TOKEN


class Connection(asyncio.Protocol):
    """A persistent connection, one request at a time."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport
        self._answer: asyncio.Future[bytes] | None = None
        self._seen = b""

    @classmethod
    async def to(cls, url: str) -> Self:
        """Connect to the host of this URL."""
        parts = urlsplit(url)
        loop = asyncio.get_running_loop()
        return (await loop.create_connection(cls, str(parts.hostname), parts.port or 80))[1]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's transport is not a subclass

    def request(self, request: bytes) -> asyncio.Future[bytes]:
        self._answer = answer = asyncio.get_running_loop().create_future()
        self._seen = b""
        self._transport.write(request)
        return answer

    def close(self) -> None:
        self._transport.close()

    def data_received(self, data: bytes) -> None:
        self._seen += data
        head, end, body = self._seen.partition(b"\r\n\r\n")
        if (
            self._answer
            and end
            and len(body) >= int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        ):
            self._answer.set_result(self._seen)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._answer and not self._answer.done():
            self._answer.set_exception(exc or ConnectionResetError("closed before its answer"))


def request(method: str, path: str, body: bytes = b"", request_id: str = "-") -> bytes:
    """Return a request with the token of the benchmark."""
    return (
        f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {TOKEN}\r\n"
        f"Content-Type: application/json\r\nX-Request-ID: {request_id}\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode() + body
