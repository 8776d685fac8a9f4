"""Malformed and hostile requests to ingest, admin and the edge get a response and block no other client."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest

from deploy.embedded.servers.standalone import free_ports
from tests.support.services.processes import ServiceProcess
from tests.support.wait import eventually
from tests.support.web.http_servers import (
    CHUNKED,
    HEAD,
    INNER,
    JSON,
    LEAD,
    LENGTH,
    POST,
    SECRET,
    TOKEN,
    HttpServer,
    run_servers,
    statuses,
)
from tests.support.web.plain_http import plain_client


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, HttpServer]]:
    with run_servers(tmp_path_factory.mktemp("servers")) as running:
        yield running


@pytest.fixture(params=["ingest", "admin", "edge"])
async def surface(
    request: pytest.FixtureRequest, servers: dict[str, HttpServer]
) -> AsyncIterator[HttpServer]:
    found = servers[request.param]
    yield found
    await found.check_responsive()


@pytest.fixture(params=["ingest", "edge"])
async def gateway(
    request: pytest.FixtureRequest, servers: dict[str, HttpServer]
) -> AsyncIterator[HttpServer]:
    found = servers[request.param]
    yield found
    await found.check_responsive()


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
async def test_malformed_request_gets_a_4xx(surface: HttpServer, request_: bytes) -> None:
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
async def test_edge_forwards_no_smuggled_request(servers: dict[str, HttpServer], request_: bytes) -> None:
    answers = await servers["edge"].send(request_)
    assert SECRET not in answers
    assert all(status < 500 for status in statuses(answers)), answers
    await servers["edge"].check_responsive()


@pytest.mark.parametrize("name", ["folded", "bare line feeds", "bare feed after size", "upgrade", "expect"])
async def test_body_is_never_parsed_as_a_request(servers: dict[str, HttpServer], name: str) -> None:
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
async def test_edge_exposes_no_internal_route(servers: dict[str, HttpServer], path: str) -> None:
    request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    answers = await servers["edge"].send(request.encode())
    assert statuses(answers)[0] in (400, 404), answers
    assert SECRET not in answers


@pytest.mark.parametrize(
    "offer", [b"Upgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n", b"Upgrade: websocket\r\n"]
)
@pytest.mark.parametrize("split", [False, True])
async def test_regression_lead_that_offers_an_upgrade_gets_a_201(
    gateway: HttpServer, offer: bytes, split: bool
) -> None:
    head = HEAD + b"Connection: Upgrade, HTTP2-Settings\r\n" + offer + JSON + LENGTH
    answers = await gateway.send(*([head, LEAD] if split else [head + LEAD]), POST)
    assert statuses(answers) == [201, 201]


async def test_regression_250_kb_of_headers_do_not_block_others(surface: HttpServer) -> None:
    head = surface.request.replace(b"Connection: close\r\n", b"a: b\r\n" * 42_000)
    began = time.monotonic()
    answers = await surface.send(head)
    assert statuses(answers) in ([431], [])
    assert time.monotonic() - began < 3


async def test_regression_600_slow_bodies_do_not_block_others(gateway: HttpServer) -> None:
    slow = [await asyncio.open_connection("127.0.0.1", gateway.port) for _ in range(600)]
    for _, writer in slow:
        writer.write(HEAD + JSON + b"Content-Length: 1000\r\n\r\n{")
    for _ in range(3):
        await gateway.check_responsive()
    for _, writer in slow:
        writer.transport.abort()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


@pytest.mark.parametrize(("token", "status"), [(b"a-wrong-one", 401), (TOKEN.encode(), 413)])
@pytest.mark.parametrize("chunked", [False, True])
async def test_body_of_10_mb_gets_a_response(
    gateway: HttpServer, token: bytes, status: int, chunked: bool
) -> None:
    head = HEAD.replace(TOKEN.encode(), token) + JSON
    body = b"a" * 10_000_000
    if chunked:
        whole = head + CHUNKED + b"%x\r\n" % len(body) + body + b"\r\n0\r\n\r\n"
    else:
        whole = head + b"Content-Length: %d\r\n\r\n" % len(body) + body
    assert statuses(await gateway.send(whole)) == [status]


@pytest.mark.parametrize(("token", "status"), [(b"a-wrong-one", 401), (TOKEN.encode(), 201)])
async def test_100_continue_is_sent_to_an_authenticated_client(
    gateway: HttpServer, token: bytes, status: int
) -> None:
    head = HEAD.replace(TOKEN.encode(), token) + JSON + b"Expect: 100-continue\r\n" + LENGTH
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    writer.write(head)
    found = await asyncio.wait_for(reader.read(65_536), 5)
    # The edge requests every body, the gateway only that of an authenticated client.
    is_requested = gateway.name == "edge" or status == 201
    assert statuses(found)[0] == (100 if is_requested else 401)
    if is_requested:
        writer.write(LEAD)
    while statuses(found)[-1] == 100:
        found += await asyncio.wait_for(reader.read(65_536), 5)
    assert statuses(found)[-1] == status
    writer.transport.abort()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


async def test_pipelined_leads_are_answered_in_order(gateway: HttpServer) -> None:
    answers = await gateway.send(POST + POST.replace(b"@", b" ") + POST)
    assert statuses(answers) == [201, 422, 201]


async def test_gateway_accepts_a_target_in_absolute_form(gateway: HttpServer) -> None:
    assert statuses(await gateway.send(POST.replace(b"POST /", b"POST http://localhost/"))) == [201]


async def test_client_cannot_forge_its_address(servers: dict[str, HttpServer]) -> None:
    # Failures are counted per address. A forged address in each request does not change the counter.
    for number in range(21):
        answers = await servers["edge"].send(
            b"GET /admin/leads HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
            b"Authorization: Bearer guess\r\n"
            b"X-Forwarded-For: 203.0.113.%d\r\nForwarded: for=203.0.113.%d\r\n\r\n" % (number, number)
        )
    assert statuses(answers) == [429]


async def test_edge_answers_502_with_retry_after_without_services(tmp_path: Path) -> None:
    port, nobody = free_ports(2)
    edge = ServiceProcess("edge", {}, tmp_path)
    edge.program = (
        "deploy.embedded.servers.edge", "--port", str(port), "--folder", str(tmp_path),
        "--ingest", f"http://127.0.0.1:{nobody}", "--admin", f"http://127.0.0.1:{nobody}",
    )  # fmt: skip
    edge.start()
    try:
        async with plain_client(base_url=f"http://127.0.0.1:{port}", timeout=10) as client:

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
