"""Ingest, admin and the edge as real servers, and a client that sends them raw bytes."""

import asyncio
import contextlib
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx

from deploy.embedded.servers.standalone import free_ports
from tests.support.services.admin import TOKEN as ADMIN_TOKEN
from tests.support.services.processes import ROOT, processes
from tests.support.wait import eventually
from tests.support.web.plain_http import plain_client

TOKEN = "a-token-of-a-website-1234567890"
ENVIRONMENT = {
    "DATABASE_URL": "postgresql://nobody@127.0.0.1:1/x",
    "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1",
    "FASTCORE_SITE_INGEST_TOKEN": f"www:{TOKEN}",
    "FASTCORE_ADMIN_TOKEN": ADMIN_TOKEN,
    "FASTCORE_INGEST_PUBLISH_BUDGET_SECONDS": "0.1",
    "DEBUG": "false",
}
LEAD = b'{"name":"Ada","email":"ada@example.com","service":"Web","message":"Hello"}'
HEAD = b"POST /inbound/leads HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer " + TOKEN.encode() + b"\r\n"
JSON = b"Content-Type: application/json\r\n"
LENGTH = b"Content-Length: %d\r\n\r\n" % len(LEAD)
LAST = b"Connection: close\r\n"
POST = HEAD + JSON + LENGTH + LEAD
# No response through the edge may contain the gateway's status.
INNER = b"GET /internal/status HTTP/1.1\r\nHost: localhost\r\n\r\n"
SECRET = b'"spool"'
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"


@dataclass(frozen=True)
class HttpServer:
    """A server, and a request that it answers with the status `good`."""

    name: str
    port: int
    request: bytes
    good: int

    async def send(self, *pieces: bytes, seconds: float = 20) -> bytes:
        """Send these pieces, and return all bytes until the server closes the connection or is quiet."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        found = b""
        with contextlib.suppress(ConnectionError, TimeoutError):
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(0.01)
            async with asyncio.timeout(seconds):
                while chunk := await asyncio.wait_for(reader.read(65_536), 0.3 if found else seconds):
                    found += chunk
        writer.transport.abort()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
        return found

    async def check_responsive(self) -> None:
        """Fail unless another client gets a response within 5 s."""
        began = time.monotonic()
        assert statuses(await self.send(self.request)) == [self.good], self.name
        assert time.monotonic() - began < 5


def statuses(answers: bytes) -> list[int]:
    """Return the status of each response."""
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3}) ", answers)]


@contextlib.contextmanager
def run_servers(folder: Path) -> Iterator[dict[str, HttpServer]]:
    """Run the three servers. Kafka and PostgreSQL are unavailable, so leads go to the spool."""
    with processes(folder, ENVIRONMENT, "ingest", "admin") as started:
        port = free_ports(1)[0]
        edge = subprocess.Popen(
            [
                sys.executable, "-m", "deploy.embedded.servers.edge", "--port", str(port),
                "--folder", str(folder), "--ingest", started["ingest"].url, "--admin", started["admin"].url,
            ],
            cwd=ROOT,
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        lead = HEAD + LAST + JSON + LENGTH + LEAD
        alive = b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        try:
            asyncio.run(_wait(started["ingest"].url, started["admin"].url, f"http://127.0.0.1:{port}"))
            yield {
                "ingest": HttpServer("ingest", started["ingest"].port, lead, 201),
                "admin": HttpServer("admin", started["admin"].port, alive, 200),
                "edge": HttpServer("edge", port, lead, 201),
            }
        finally:
            edge.terminate()
            edge.wait(10)


async def _wait(*urls: str) -> None:
    async def answer(url: str) -> int:
        try:
            async with plain_client() as client:
                return (await client.get(f"{url}/livez", timeout=2)).status_code
        except httpx.HTTPError:
            return 0

    async def answers() -> list[int]:
        return [await answer(url) for url in urls]

    await eventually(answers, until=lambda found: set(found) == {200}, what=" and ".join(urls))
