"""The destination of the rounds: a real HTTPS server that verifies, and misbehaves on request."""

import asyncio
import base64
import contextlib
import random
import socket
import ssl
import struct
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import trustme
from standardwebhooks import Webhook

from tests.faults.arrivals import Arrivals
from tests.faults.injections.name_service import HOST, RECEIVER
from tests.faults.injections.proxy import own_port

SECRET: Final = "whsec_" + base64.b64encode(b"a secret of the fault suite, 32 b").decode()
_BODY_MAX: Final = 1 << 20
Respond = Callable[[asyncio.StreamWriter], Awaitable[None]]


@dataclass(frozen=True)
class Behaviour:
    """How the receiver answers. If it `processes` the event, only the response is wrong."""

    name: str
    respond: Respond
    processes: bool


@dataclass
class Receiver:
    """The server. Set `behaviour` to break its responses."""

    folder: Path
    port: int = field(default_factory=own_port)
    host: str = RECEIVER
    behaviour: Behaviour | None = None
    share: float = 1.0  # of the requests that `behaviour` is for
    arrivals: Arrivals = field(default_factory=Arrivals)
    broken: Counter[str] = field(default_factory=Counter)  # responses by behaviour
    rng: random.Random = field(default_factory=lambda: random.Random(1))
    _server: asyncio.Server | None = None
    _open: set[asyncio.StreamWriter] = field(default_factory=set)

    def __post_init__(self) -> None:
        authority = trustme.CA()
        authority.cert_pem.write_to_path(str(self.authority))
        now = datetime.now(UTC)
        self._good = authority.issue_cert(HOST)
        self._expired = authority.issue_cert(
            HOST, not_before=now - timedelta(days=9), not_after=now - timedelta(days=1)
        )
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._good.configure_cert(self._context)

    @property
    def authority(self) -> Path:
        """The file of the authority that the service must trust."""
        return self.folder / "receiver-authority.pem"

    @property
    def url(self) -> str:
        return f"https://{HOST}:{self.port}/hook"

    async def start(self) -> None:
        if self._server is None:
            self._server = await asyncio.start_server(
                self._serve, self.host, self.port, ssl=self._context, ssl_handshake_timeout=5
            )

    async def stop(self) -> None:
        """Refuse connections, and close the open ones."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in self._open:
            writer.close()

    async def heal(self) -> None:
        """Answer every request with 200 again."""
        self.behaviour, self.share = None, 1.0
        self.use_certificate(expired=False)
        await self.start()

    def use_certificate(self, *, expired: bool) -> None:
        """Show this certificate to new connections."""
        (self._expired if expired else self._good).configure_cert(self._context)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            while not writer.is_closing():
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
                headers = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in head[1:])}
                length = min(_BODY_MAX, int(headers.get("content-length", "0")))
                body = (await reader.readexactly(length)).decode()
                if "/redirected" in head[0]:
                    self.arrivals.redirected += 1
                await self._answer(headers, body, writer)
        self._open.discard(writer)
        writer.close()

    async def _answer(self, headers: dict[str, str], body: str, writer: asyncio.StreamWriter) -> None:
        behaviour = self.behaviour if self.rng.random() < self.share else None
        try:
            Webhook(SECRET).verify(body, headers)
        except Exception:  # noqa: BLE001 - the library raises its own error and those of base64
            self.arrivals.unverified += 1
        event_id = headers.get("webhook-id", "")
        self.arrivals.note_request(event_id, body)
        if behaviour is None or behaviour.processes:
            self.arrivals.process(event_id, body)
        if behaviour is None:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            await writer.drain()
            return
        self.broken[behaviour.name] += 1
        await behaviour.respond(writer)
        writer.close()


def _status(line: str, *headers: str) -> Respond:
    head = "\r\n".join((f"HTTP/1.1 {line}", *headers, "Content-Length: 0", "\r\n")).encode()

    async def respond(writer: asyncio.StreamWriter) -> None:
        writer.write(head)
        await writer.drain()

    return respond


async def _until_closed(writer: asyncio.StreamWriter) -> None:
    """Wait until the client closes the connection, at most 30 s."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(30):
            while not writer.is_closing():  # noqa: ASYNC110 - nothing signals it
                await asyncio.sleep(0.1)


async def _hang(writer: asyncio.StreamWriter) -> None:
    await _until_closed(writer)


async def _hang_in_body(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nthank")
    await _until_closed(writer)


async def _reset(writer: asyncio.StreamWriter) -> None:
    raw: socket.socket = writer.get_extra_info("socket")
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def _endless(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while not writer.is_closing():
        writer.write(b"1000\r\n" + b"x" * 0x1000 + b"\r\n")
        await writer.drain()


async def _drip(writer: asyncio.StreamWriter) -> None:
    for byte in b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 0\r\n\r\n":
        if writer.is_closing():
            return
        writer.write(bytes([byte]))
        await asyncio.sleep(0.3)


BEHAVIOURS: Final = {
    name: Behaviour(name, respond, processes)
    for name, respond, processes in (
        ("500", _status("500 Internal Server Error"), False),
        ("429", _status("429 Too Many Requests"), False),
        ("429 with Retry-After", _status("429 Too Many Requests", "Retry-After: 2"), False),
        ("503 with Retry-After", _status("503 Service Unavailable", "Retry-After: 1"), False),
        ("redirects", _status("307 Temporary Redirect", "Location: /redirected"), False),
        ("hangs before the headers", _hang, True),
        ("hangs in the body", _hang_in_body, True),
        ("resets after the body", _reset, True),
        ("sends an endless body", _endless, True),
        ("drips", _drip, True),
    )
}
