"""The direct route of leads and the app return the same responses."""

import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.support.services.gateway import TOKEN, Gateway, run_gateway, submission
from tests.support.web.direct_server import exchange, run_direct

BODY = json.dumps(submission()).encode()
TRACE = b"traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n"


def request(more: bytes = b"", body: bytes = BODY, token: str = TOKEN) -> tuple[bytes, bytes]:
    """Return the head and the body of a request that closes its connection."""
    head = (
        f"POST /inbound/leads HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n"
        f"X-Request-ID: r1\r\nConnection: close\r\nContent-Length: {len(body)}\r\n"
    )
    return head.encode() + more + b"\r\n", body


@asynccontextmanager
async def run_server(**fields: Any) -> AsyncIterator[tuple[Gateway, int]]:
    async with (
        run_gateway(**fields) as gateway,
        run_direct(gateway.app, gateway.app.state.direct_route) as port,
    ):
        yield gateway, port


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (request(), 201),
        (request(TRACE + b"Content-Type: application/json\r\n"), 201),
        (request(body=b"{}"), 422),
        (request(body=b"{"), 400),
        (request(token="wrong"), 401),
        (request(b"Content-Type: text/plain\r\n"), 415),
        (request(b"Content-Encoding: gzip\r\n"), 415),
    ],
    ids=["lead", "trace", "invalid", "no JSON", "token", "type", "encoding"],
)
@pytest.mark.parametrize("limits", [{}, {"requests_per_token_per_minute": 5}], ids=["unlimited", "limited"])
async def test_both_ways_return_the_same_response(
    request_: tuple[bytes, bytes], status: int, limits: dict[str, Any]
) -> None:
    head, body = request_
    answers = []
    for pieces in ((head + body,), (head, body)):  # the second goes to the app, which waits for the body
        async with (
            run_gateway(**limits) as gateway,
            run_direct(gateway.app, gateway.app.state.direct_route) as port,
        ):
            answer = await exchange(port, *pieces)
            answers.append(re.sub(rb'"leadId":"[^"]{36}"', b"", answer))
            assert len(gateway.leads.records) == (status == 201)
    assert answers[0].startswith(b"HTTP/1.1 %d " % status)
    assert answers[0] == answers[1]


async def test_replay_and_conflict_are_found_on_both_ways() -> None:
    async with run_server() as (gateway, port):
        head, body = request(b"Idempotency-Key: k1\r\n")
        other = request(b"Idempotency-Key: k1\r\n", json.dumps(submission(name="Bob")).encode())
        first = await exchange(port, head + body)
        for pieces in ((head + body,), (head, body)):
            assert b"idempotent-replayed: true" in (replay := await exchange(port, *pieces))
            assert replay.rpartition(b"\n\r\n")[2] == first.rpartition(b"\n\r\n")[2]
        for pieces in ((b"".join(other),), other):
            assert (await exchange(port, *pieces)).startswith(b"HTTP/1.1 422 ")
        assert len(gateway.leads.records) == 1


async def test_tracing_has_no_direct_route(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
    async with run_gateway() as gateway:
        assert not hasattr(gateway.app.state, "direct_route")
