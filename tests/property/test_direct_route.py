"""The direct route and the app send the same bytes, for any requests in any chunks of data."""

import asyncio
import json
import re
from collections.abc import Callable, Iterator
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.http.direct_route import direct_protocol
from runtime.http.protocol import bounded_protocol
from tests.support.services.gateway import TOKEN, Gateway, run_gateway, submission
from tests.support.web.fake_connection import talk

BODIES: Final = [
    json.dumps(submission()).encode(),
    json.dumps(submission(name="Bob", message="x" * 3000)).encode(),
    b"{}",
    b"{",
    b"",
    json.dumps(submission(message="x" * 70_000)).encode(),
    b'{"name":"' + b" " * 300_000,
]
LINES: Final = [
    b"Content-Type: application/json",
    b"Content-Type: text/plain",
    b"Content-Encoding: gzip",
    b"Idempotency-Key: k1",
    b"Idempotency-Key: k2",
    b"X-Request-ID: r2",
    b"X-Request-ID: not a safe id",
    b"Connection: close",
    b"Connection: keep-alive",
    b"Origin: https://www.example",
    b"Expect: 100-continue",
    b"Connection: Upgrade\r\nUpgrade: h2c",
    b"Host: other.example",
    b"Authorization: Bearer other",
    b"Content-Length: 7",
    b"Transfer-Encoding: gzip, chunked",
    b"X-Bad : value",
    b"no colon",
]
STARTS: Final = [b"POST /inbound/leads HTTP/1.1"] * 12 + [
    b"POST /inbound/leads HTTP/1.0",
    b"POST /inbound/leads?a=b HTTP/1.1",
    b"POST /inbound/lead%73 HTTP/1.1",
    b"POST http://localhost/inbound/leads HTTP/1.1",
    b"GET /inbound/leads HTTP/1.1",
    b"HEAD /inbound/leads HTTP/1.1",
    b"PUT /inbound/leads HTTP/1.1",
    b"GET /livez HTTP/1.1",
    b"POST /inbound/leads HTTP/2.0",
    b"POST /inbound/leads#a HTTP/1.1",
]
COMMON: Final = b"Host: localhost\r\nAuthorization: Bearer " + TOKEN.encode()


def frame(body: bytes, *, chunked: bool) -> bytes:
    """Return the header that frames a body, the end of the head, and the body."""
    if not chunked:
        return b"Content-Length: %d\r\n\r\n%s" % (len(body), body)
    pieces = [body[i : i + 40_000] for i in range(0, len(body), 40_000)]
    parts = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces)
    return b"Transfer-Encoding: chunked\r\n\r\n" + parts + b"0\r\nX-Request-ID: trailer\r\n\r\n"


def request(start: bytes, lines: list[bytes], body: bytes, *, chunked: bool) -> bytes:
    """Return the bytes of a request."""
    return b"\r\n".join([start, COMMON, *lines, frame(body, chunked=chunked)])


REQUESTS: Final = st.builds(
    request,
    st.sampled_from(STARTS),
    st.lists(st.sampled_from(LINES), max_size=2),
    st.sampled_from(BODIES[:1] * 6 + BODIES),
    chunked=st.booleans(),
)
Answer = tuple[bytes, bool, int]
Exchange = Callable[[list[bytes]], tuple[Answer, Answer]]


@pytest.fixture
def exchange() -> Iterator[Exchange]:
    """Return a function that sends chunks of data to two gateways: without a direct route, and with one."""

    async def answer_of(gateway: Gateway, chunks: list[bytes], *, directly: bool) -> Answer:
        route = gateway.app.state.direct_route
        protocol = direct_protocol(60, route) if directly else bounded_protocol(60)
        written, closed, requests = await talk(gateway.app, protocol, chunks)
        return re.sub(rb"[0-9a-f]{8}-?([0-9a-f]{4}-?){3}[0-9a-f]{12}", b"id", written), closed, requests

    with asyncio.Runner() as runner:
        contexts = [run_gateway(requests_per_token_per_minute=100) for _ in range(2)]
        through_app, direct = [runner.run(context.__aenter__()) for context in contexts]

        def both(chunks: list[bytes]) -> tuple[Answer, Answer]:
            for gateway in (through_app, direct):
                gateway.advance(1)
            answers = (
                runner.run(answer_of(through_app, chunks, directly=False)),
                runner.run(answer_of(direct, chunks, directly=True)),
            )
            assert len(through_app.leads.records) == len(direct.leads.records)
            assert len(through_app.audit.entries) == len(direct.audit.entries)
            return answers

        yield both
        for context in contexts:
            runner.run(context.__aexit__(None, None, None))


@pytest.mark.parametrize("chunked", [True, False], ids=["chunked", "length"])
def test_both_ways_handle_each_request_alike(exchange: Exchange, *, chunked: bool) -> None:
    whole = [request(start, [], BODIES[0], chunked=chunked) for start in set(STARTS)]
    whole += [request(STARTS[0], [line], BODIES[0], chunked=chunked) for line in LINES]
    whole += [request(STARTS[0], [], body, chunked=chunked) for body in BODIES]
    for each in whole:
        through_app, direct = exchange([each])
        assert direct == through_app
        through_app, direct = exchange([each[:-20], each[-20:]])
        assert direct == through_app


def test_both_ways_send_the_same_bytes(exchange: Exchange) -> None:
    @settings(max_examples=150, deadline=None)
    @given(data=st.data())
    def check(data: st.DataObject) -> None:
        sent = b"".join(data.draw(st.lists(REQUESTS, min_size=1, max_size=3)))
        cuts = sorted(data.draw(st.lists(st.integers(0, min(len(sent), 1_500)), max_size=3)))
        ends = [*cuts, len(sent)]
        chunks = [sent[start:end] for start, end in zip([0, *cuts], ends, strict=True) if start < end]
        through_app, direct = exchange(chunks)
        assert direct == through_app

    check()
