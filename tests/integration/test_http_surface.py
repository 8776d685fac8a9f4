"""Hostile requests to ingest, admin and the edge in front of both: each has its answer, nobody waits."""

import asyncio
import contextlib
import re
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from deploy.embedded.servers.standalone import free_ports
from tests.support.admin import TOKEN as ADMIN_TOKEN
from tests.support.processes import ROOT, ServiceProcess, processes
from tests.support.wait import eventually

TOKEN = "a-token-of-a-website-1234567890"
ENVIRONMENT = {
    "DATABASE_URL": "postgresql://nobody@127.0.0.1:1/x",
    "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1",
    "FASTCORE_SITE_INGEST_TOKEN": f"www:{TOKEN}",
    "FASTCORE_ADMIN_TOKEN": ADMIN_TOKEN,
    "FASTCORE_INGEST_PUBLISH_BUDGET_SECONDS": "0.1",  # without Kafka: a lead goes to the spool
    "DEBUG": "false",
}
LEAD = b'{"name":"Ada","email":"ada@example.com","service":"Web","message":"Hello"}'
HEAD = b"POST /inbound/leads HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer " + TOKEN.encode() + b"\r\n"
JSON = b"Content-Type: application/json\r\n"
LENGTH = b"Content-Length: %d\r\n\r\n" % len(LEAD)
LAST = b"Connection: close\r\n"
POST = HEAD + JSON + LENGTH + LEAD
# What no answer may hold: the gateway's status, whoever asks for it in whatever disguise.
INNER = b"GET /internal/status HTTP/1.1\r\nHost: localhost\r\n\r\n"
SECRET = b'"spool"'
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"


@dataclass(frozen=True)
class Surface:
    """One server, and a request that it answers with `good`."""

    name: str
    port: int
    request: bytes
    good: int

    async def send(self, *pieces: bytes, seconds: float = 20) -> bytes:
        """Send these and return all that comes back until the server closes or is quiet."""
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

    async def serves(self) -> None:
        """Fail unless somebody else gets an answer at once."""
        began = time.monotonic()
        assert statuses(await self.send(self.request)) == [self.good], self.name
        assert time.monotonic() - began < 5


def statuses(answers: bytes) -> list[int]:
    """Return the status of each response."""
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3}) ", answers)]


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Surface]]:
    folder = tmp_path_factory.mktemp("surface")
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
                "ingest": Surface("ingest", started["ingest"].port, lead, 201),
                "admin": Surface("admin", started["admin"].port, alive, 200),
                "edge": Surface("edge", port, lead, 201),
            }
        finally:
            edge.terminate()
            edge.wait(10)


async def _wait(*urls: str) -> None:
    async def answer(url: str) -> int:
        try:
            async with httpx.AsyncClient() as client:
                return (await client.get(f"{url}/livez", timeout=2)).status_code
        except httpx.HTTPError:
            return 0

    async def answers() -> list[int]:
        return [await answer(url) for url in urls]

    await eventually(answers, until=lambda found: set(found) == {200}, what=" and ".join(urls))


@pytest.fixture(params=["ingest", "admin", "edge"])
async def surface(request: pytest.FixtureRequest, servers: dict[str, Surface]) -> AsyncIterator[Surface]:
    found = servers[request.param]
    yield found
    await found.serves()


@pytest.fixture(params=["ingest", "edge"])
async def gateway(request: pytest.FixtureRequest, servers: dict[str, Surface]) -> AsyncIterator[Surface]:
    found = servers[request.param]
    yield found
    await found.serves()


MALFORMED = {
    "no host": b"GET /livez HTTP/1.1\r\n\r\n",
    "two hosts": b"GET /livez HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    "blank in target": b"GET /li vez HTTP/1.1\r\nHost: a\r\n\r\n",
    "no version": b"GET /livez\r\n\r\n",
    "connect": b"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n",
    "http/2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "tls": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "two lengths": HEAD + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
    "signed length": HEAD + b"Content-Length: +5\r\n\r\nhello",
    "negative length": HEAD + b"Content-Length: -5\r\n\r\nhello",
    "endless length": HEAD + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\nhello",
    "unknown coding": HEAD + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "two codings": HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "blank before colon": HEAD + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    "chunk size": HEAD + CHUNKED + b"ffffffffffffffffffff\r\n",
    "chunk size with a prefix": HEAD + CHUNKED + b"0x5\r\nhello\r\n0\r\n\r\n",
    "trailer without a value": HEAD + CHUNKED + b"0\r\nCo\r\n\r\n",
    "trailer with a bare feed": HEAD + CHUNKED + b"0\r\n\r\xff\n",
    "nul in value": HEAD + b"X: a\0b\r\n\r\n",
    "nul in name": HEAD + b"X\0: b\r\n\r\n",
    "bare return": HEAD + b"X: a\rContent-Length: 0\r\n\r\n",
}


@pytest.mark.parametrize("request_", MALFORMED.values(), ids=MALFORMED)
async def test_a_malformed_request_is_the_clients_fault(surface: Surface, request_: bytes) -> None:
    answers = await surface.send(request_ + INNER)
    assert [status for status in statuses(answers) if not 400 <= status < 500] in ([], [501], [505]), answers
    assert SECRET not in answers


DISGUISED = {
    "length and chunked": HEAD
    + b"Content-Length: %d\r\n" % (len(INNER) + 5)
    + CHUNKED
    + b"0\r\n\r\n"
    + INNER,
    "chunked and length": HEAD + CHUNKED[:-2] + b"Content-Length: 5\r\n\r\n0\r\n\r\n" + INNER,
    "folded": HEAD + b"X: a\r\n Content-Length: 0\r\nContent-Length: %d\r\n\r\n" % len(INNER) + INNER,
    "bare line feeds": HEAD.replace(b"\r", b"") + b"Content-Length: %d\n\n" % len(INNER) + INNER,
    "chunk extension": HEAD + CHUNKED + b"5;x=\n\n\r\nhello\r\n0\r\n\r\n" + INNER,
    "bare feed after size": HEAD + CHUNKED + b"5\nhello\r\n0\r\n\r\n" + INNER,
    "trailer": HEAD + CHUNKED + b"0\r\nContent-Length: 0\r\n\r\n" + INNER,
    "upgrade": HEAD
    + b"Connection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: %d\r\n\r\n" % len(INNER)
    + INNER,
    "expect": HEAD + b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(INNER) + INNER,
    "http/1.0": HEAD.replace(b"1.1", b"1.0") + CHUNKED + b"0\r\n\r\n" + INNER,
    "absolute": INNER.replace(b"/internal", b"http://localhost/internal"),
}


@pytest.mark.parametrize("request_", DISGUISED.values(), ids=DISGUISED)
async def test_no_disguise_gets_through_the_edge(servers: dict[str, Surface], request_: bytes) -> None:
    answers = await servers["edge"].send(request_)
    assert SECRET not in answers
    assert all(status < 500 for status in statuses(answers)), answers
    await servers["edge"].serves()


@pytest.mark.parametrize("name", ["folded", "bare line feeds", "bare feed after size", "upgrade", "expect"])
async def test_a_body_is_never_a_request(servers: dict[str, Surface], name: str) -> None:
    assert SECRET not in await servers["ingest"].send(DISGUISED[name])


@pytest.mark.parametrize(
    "path",
    ["/internal/status", "//internal/status", "/%69nternal/status", "/internal%2fstatus",
     "/x/../internal/status", "/x/%2e%2e/internal/status", "/./internal/status", "/internal/status/",
     "/INTERNAL/status", "/internal/./status", "/admin/../internal/status", "/admin/%2e%2e/internal/status",
     "/admin%2f..%2finternal/status", "/internal%00/status", "/internal;x/status", "/%2569nternal/status",
     "/internal\\status", "/internal%5cstatus",
     "http://localhost/internal/status", "http://evil.example/internal/status", "/internal/status#x"],
)  # fmt: skip
async def test_internal_routes_are_nobodys(servers: dict[str, Surface], path: str) -> None:
    request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    answers = await servers["edge"].send(request.encode())
    assert statuses(answers)[0] in (400, 404), answers
    assert SECRET not in answers


@pytest.mark.parametrize(
    "offer", [b"Upgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n", b"Upgrade: websocket\r\n"]
)
@pytest.mark.parametrize("split", [False, True])
async def test_regression_a_lead_that_offers_an_upgrade_gets_its_201(
    gateway: Surface, offer: bytes, split: bool
) -> None:
    head = HEAD + b"Connection: Upgrade, HTTP2-Settings\r\n" + offer + JSON + LENGTH
    answers = await gateway.send(*([head, LEAD] if split else [head + LEAD]), POST)
    assert statuses(answers) == [201, 201]


async def test_regression_a_quarter_megabyte_of_headers_holds_nobody_up(surface: Surface) -> None:
    head = surface.request.replace(b"Connection: close\r\n", b"a: b\r\n" * 42_000)
    began = time.monotonic()
    answers = await surface.send(head)
    assert statuses(answers) in ([431], [])
    assert time.monotonic() - began < 3


async def test_regression_six_hundred_slow_bodies_hold_nobody_up(gateway: Surface) -> None:
    slow = [await asyncio.open_connection("127.0.0.1", gateway.port) for _ in range(600)]
    for _, writer in slow:
        writer.write(HEAD + JSON + b"Content-Length: 1000\r\n\r\n{")
    for _ in range(3):
        await gateway.serves()
    for _, writer in slow:
        writer.transport.abort()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


@pytest.mark.parametrize(("token", "status"), [(b"a-wrong-one", 401), (TOKEN.encode(), 413)])
@pytest.mark.parametrize("chunked", [False, True])
async def test_ten_megabytes_get_an_answer(
    gateway: Surface, token: bytes, status: int, chunked: bool
) -> None:
    head = HEAD.replace(TOKEN.encode(), token) + JSON
    body = b"a" * 10_000_000
    if chunked:
        whole = head + CHUNKED + b"%x\r\n" % len(body) + body + b"\r\n0\r\n\r\n"
    else:
        whole = head + b"Content-Length: %d\r\n\r\n" % len(body) + body
    assert statuses(await gateway.send(whole)) == [status]


@pytest.mark.parametrize(("token", "status"), [(b"a-wrong-one", 401), (TOKEN.encode(), 201)])
async def test_who_waits_for_a_word_before_the_body_gets_it_once_it_is_known(
    gateway: Surface, token: bytes, status: int
) -> None:
    head = HEAD.replace(TOKEN.encode(), token) + JSON + b"Expect: 100-continue\r\n" + LENGTH
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    writer.write(head)
    found = await asyncio.wait_for(reader.read(65_536), 5)
    # The edge asks for every body, the gateway only for that of a client that it knows.
    asked = gateway.name == "edge" or status == 201
    assert statuses(found)[0] == (100 if asked else 401)
    if asked:
        writer.write(LEAD)
    while statuses(found)[-1] == 100:
        found += await asyncio.wait_for(reader.read(65_536), 5)
    assert statuses(found)[-1] == status
    writer.transport.abort()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


async def test_pipelined_leads_are_answered_in_order(gateway: Surface) -> None:
    answers = await gateway.send(POST + POST.replace(b'"name":"Ada"', b'"name":"   "') + POST)
    assert statuses(answers) == [201, 422, 201]


async def test_the_gateway_takes_a_target_in_absolute_form(gateway: Surface) -> None:
    assert statuses(await gateway.send(POST.replace(b"POST /", b"POST http://localhost/"))) == [201]


async def test_the_callers_address_is_the_edges_word_not_the_callers(servers: dict[str, Surface]) -> None:
    # Failures are counted by the address: another in each request is the same one.
    for number in range(21):
        answers = await servers["edge"].send(
            b"GET /admin/leads HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
            b"Authorization: Bearer guess\r\n"
            b"X-Forwarded-For: 203.0.113.%d\r\nForwarded: for=203.0.113.%d\r\n\r\n" % (number, number)
        )
    assert statuses(answers) == [429]


async def test_services_that_are_away_are_a_problem_to_retry(tmp_path: Path) -> None:
    port, nobody = free_ports(2)
    edge = ServiceProcess("edge", {}, tmp_path)
    edge.program = (
        "deploy.embedded.servers.edge", "--port", str(port), "--folder", str(tmp_path),
        "--ingest", f"http://127.0.0.1:{nobody}", "--admin", f"http://127.0.0.1:{nobody}",
    )  # fmt: skip
    edge.start()
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=10) as client:

            async def answer() -> httpx.Response | None:
                try:
                    return await client.post("/inbound/leads?x=secret", content=LEAD)
                except httpx.HTTPError:
                    return None

            found = await eventually(answer, until=lambda got: got is not None)
        assert found is not None
        assert found.status_code == 502
        assert found.headers["content-type"] == "application/problem+json"
        assert found.headers["retry-after"] == "1"
        assert "server" not in found.headers
    finally:
        await edge.stop(20)
    log = edge.log.read_text()
    assert '"status":502' in log
    assert "secret" not in log
    assert "ada@" not in log
