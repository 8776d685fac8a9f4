"""The gateway and its references, in this process, behind connections without sockets."""

import asyncio
import json
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Final
from unittest.mock import patch

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from runtime.http.direct_route import direct_protocol
from runtime.http.security_headers import SecurityHeaders
from runtime.http.server import tune_gc
from tests.bench.environment import TOKEN
from tests.bench.references import gateways
from tests.support.wait import eventually

CONNECTIONS: Final = 64
NAMES: Final = ("ours", "modelled", "bare")
_LEAD: Final = {
    "name": "Ada Lovelace",
    "email": "",
    "service": "Web design",
    "message": "We need a new site by spring. Please call me.",
    "phone": "+44 20 7946 0000",
    "company": "Analytical Engines Ltd",
    "consent": True,
    "locale": "en-GB",
    "submitted_at": "2024-01-03T10:30:42Z",
    "source": {
        "page_url": "https://www.example.com/contact",
        "referrer": "https://www.example.org/",
        "utm_source": "newsletter",
        "utm_medium": "email",
        "utm_campaign": "spring",
    },
    "meta": {
        "user_agent": "Mozilla/5.0",
        "honeypot": "",
        "fill_seconds": 44,
        "consent_text": "I agree that you answer me by email.",
        "consent_version": "2024-01",
    },
    "budget": "10,000",
}
_DATE: Final = (b"date", b"Mon, 30 Nov 2026 10:30:42 GMT")


class _Transport(asyncio.Transport):
    """Passes the beginning of each response on, and drops the rest."""

    def __init__(self, on_response: Callable[[bytes], None]) -> None:
        super().__init__()
        self._on_response = on_response

    def write(self, data: Any) -> None:
        if data.startswith(b"HTTP/"):  # uvicorn writes the body by itself
            self._on_response(data)

    def is_closing(self) -> bool:
        return False

    def close(self) -> None:
        """Do nothing."""


class Contender:
    """Answers leads on `CONNECTIONS` connections."""

    def __init__(self, connect: Callable[[_Transport], HttpToolsProtocol]) -> None:
        transport = _Transport(self._on_response)
        self._connections = [connect(transport) for _ in range(CONNECTIONS)]
        self._missing = 0
        self._all_answered: asyncio.Future[None] | None = None

    async def answer(self, requests: list[bytes]) -> None:
        """Send one request on each connection, and return once all are answered."""
        self._missing, self._all_answered = len(requests), asyncio.get_running_loop().create_future()
        for connection, request in zip(self._connections, requests, strict=True):
            connection.data_received(request)
        await self._all_answered

    def _on_response(self, data: bytes) -> None:
        self._missing -= 1
        if self._all_answered is None or self._all_answered.done():
            return
        if not data.startswith(b"HTTP/1.1 201 "):
            self._all_answered.set_exception(RuntimeError(data.decode()))
        elif not self._missing:
            self._all_answered.set_result(None)

    def close(self) -> None:
        """Close the connections."""
        for connection in self._connections:
            connection.connection_lost(None)


@asynccontextmanager
async def run_contender(name: str, folder: str) -> AsyncIterator[Contender]:
    """Run the gateway (`ours`) or a reference while the block lasts. `folder` is for the spool."""
    variables = {
        "FASTCORE_SITE_INGEST_TOKEN": TOKEN,
        "FASTCORE_INGEST_SPOOL_FOLDER": folder,
        "KAFKA_BOOTSTRAP_SERVERS": "localhost:9092",
        "KAFKA_TOPIC_PREFIX": "",
        # Under valgrind everything is slow.
        "FASTCORE_INGEST_PUBLISH_BUDGET_SECONDS": "600",
    }
    with patch.dict(os.environ, variables):
        async with _run(name) as contender:
            yield contender


@asynccontextmanager
async def _run(name: str) -> AsyncIterator[Contender]:
    state = ServerState()
    protocol: type[HttpToolsProtocol]
    if name == "ours":
        from services.ingest.app import create_app  # noqa: PLC0415 - its settings are read at the import

        app: Any = create_app()
        served, protocol = SecurityHeaders(app), direct_protocol(10, app.state.direct_route)
        state.default_headers = [_DATE]
        tune_gc()
    else:
        app = served = getattr(gateways, name)()
        protocol = HttpToolsProtocol
        state.default_headers = [_DATE, (b"server", b"uvicorn")]
    config = uvicorn.Config(served, ws="none", log_config=None, access_log=False, timeout_keep_alive=30)
    config.load()

    def connect(transport: _Transport) -> HttpToolsProtocol:
        connection = protocol(config, state, {})
        connection.connection_made(transport)
        return connection

    async with app.router.lifespan_context(app):
        if name == "ours":
            writer = app.state.lead_writer

            async def breaker() -> str:
                return str(writer.breaker)

            await eventually(breaker, until="closed".__eq__, seconds=60, what="the producer")
        contender = Contender(connect)
        yield contender
        contender.close()


def requests(rounds: int) -> list[list[bytes]]:
    """Return this many rounds of requests, one for each connection: those of `inputs/post.lua`."""
    return [
        [_request(number * CONNECTIONS + each) for each in range(CONNECTIONS)] for number in range(rounds)
    ]


def _request(number: int) -> bytes:
    body = json.dumps(_LEAD | {"email": f"ada.1796034642.0.{number}@example.com"}, separators=(",", ":"))
    return (
        "POST /inbound/leads HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        f"Authorization: Bearer {TOKEN}\r\nIdempotency-Key: 1796034642-0-{number}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n{body}"
    ).encode()
