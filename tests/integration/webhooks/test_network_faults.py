"""A destination that hangs, breaks off, redirects, or leads into our network, on real connections."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme

from contracts.reasons import Reason
from services.webhooks.client import DestinationClient, Request, open_client
from services.webhooks.outcome import Outcome, Result

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"


async def _send(url: str, *, allow_private: bool = True, seconds: float = 1.5) -> Outcome:
    async with open_client(seconds) as client:
        return await _post(client, url, allow_private=allow_private)


async def _post(client: DestinationClient, url: str, *, allow_private: bool = True) -> Outcome:
    request = Request("POST", url, {"Content-Type": "application/json"}, b'{"a":1}', allow_private)
    return await client.send(request, datetime.now(UTC))


@asynccontextmanager
async def _server(
    *parts: bytes, pause: float = 0.0, hang: bool = False, context: ssl.SSLContext | None = None
) -> AsyncIterator[tuple[str, list[bytes]]]:
    """Run a server that reads a request, writes `parts`, then hangs or closes. Yield its URL and requests."""
    requests: list[bytes] = []
    serving = set[asyncio.Task[None]]()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        serving.add(task)
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            requests.append(await reader.readuntil(b"\r\n\r\n"))
            for part in parts:
                writer.write(part)
                await writer.drain()
                await asyncio.sleep(pause)
            if hang:
                await asyncio.sleep(30)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    port = server.sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}/hook", requests
    finally:
        for task in serving:
            task.cancel()
        await asyncio.gather(*serving)
        server.close()
        await server.wait_closed()


async def test_a_hang_before_the_response_ends_at_the_timeout() -> None:
    async with _server(hang=True) as (url, _):
        assert (await _send(url)).reason == Reason.DESTINATION_SILENT


async def test_a_slow_head_ends_at_the_timeout() -> None:
    async with _server(*[bytes([byte]) for byte in HEAD * 10], pause=0.1) as (url, _):
        assert (await _send(url)).reason == Reason.DESTINATION_SILENT


async def test_a_body_that_hangs_after_200_is_a_delivery() -> None:
    async with _server(HEAD + b"Content-Length: 100\r\n\r\nthank", hang=True) as (url, _):
        outcome = await _send(url)
    assert (outcome.result, outcome.response) == (Result.DELIVERED, "thank")


async def test_a_reset_after_200_is_a_delivery() -> None:
    async with _server(HEAD + b"Content-Length: 100\r\n\r\nthank") as (url, _):
        assert (await _send(url)).result == Result.DELIVERED


async def test_of_an_endless_body_only_the_beginning_is_read() -> None:
    async with _server(HEAD + b"\r\n", *[b"x" * 65536] * 2000) as (url, _):
        async with asyncio.timeout(1):
            outcome = await _send(url, seconds=20)
    assert outcome.result == Result.DELIVERED
    assert outcome.response is not None
    assert len(outcome.response) == 1024


@pytest.mark.parametrize(
    "answer", [b"", b"HTTP/1.1 2", b"nonsense\r\n\r\n", HEAD + b"Content-Length: x\r\n\r\n"]
)
async def test_a_response_that_breaks_off_or_is_no_http_is_a_failure(answer: bytes) -> None:
    async with _server(answer) as (url, _):
        outcome = await _send(url)
    assert (outcome.result, outcome.reason) == (Result.FAILED, Reason.DESTINATION_BROKE_OFF)


async def test_a_redirect_is_not_followed() -> None:
    async with _server(HEAD + b"\r\n") as (target, reached):
        head = f"HTTP/1.1 307 Temporary Redirect\r\nLocation: {target}\r\nContent-Length: 0\r\n\r\n"
        async with _server(head.encode()) as (url, _):
            outcome = await _send(url)
    assert (outcome.result, outcome.status_code) == (Result.FAILED, 307)
    assert reached == []


async def test_a_closed_port_is_unreachable() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        outcome = await _send(f"http://127.0.0.1:{closed.getsockname()[1]}/")
    assert outcome.reason == Reason.DESTINATION_UNREACHABLE


async def test_a_name_without_an_address_fails() -> None:
    assert (await _send("http://nobody.invalid/")).reason == Reason.DESTINATION_NAME_UNKNOWN


async def test_a_certificate_of_an_unknown_authority_is_refused() -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0, ssl=context)
    port = server.sockets[0].getsockname()[1]
    try:
        outcome = await _send(f"https://127.0.0.1:{port}/")
    finally:
        server.close()
    assert outcome.reason == Reason.DESTINATION_CERTIFICATE


@pytest.mark.parametrize(("days", "reason"), [(1, None), (-1, Reason.DESTINATION_CERTIFICATE)])
async def test_a_certificate_is_refused_once_it_has_expired(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, days: int, reason: str | None
) -> None:
    authority, context, now = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), datetime.now(UTC)
    authority.cert_pem.write_to_path(str(tmp_path / "authority.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))
    until = now + timedelta(days=days)
    authority.issue_cert("localhost", not_before=now - timedelta(days=9), not_after=until).configure_cert(
        context
    )
    async with _server(HEAD + b"Content-Length: 0\r\n\r\n", context=context) as (url, requests):
        outcome = await _send(url.replace("http://127.0.0.1", "https://localhost"))
    assert (outcome.reason, len(requests)) == (reason, int(reason is None))


# Addresses of this machine and of a network's inside, as attackers write them.
# ruff: noqa: S104
INNER = (
    "127.0.0.1", "127.1", "127.0.1", "0", "0.0.0.0", "2130706433", "0x7f000001", "0x7f.0.0.1", "017700000001",
    "0177.0.0.1", "localhost", "LOCALHOST", "localhost.", "[::1]", "[::]", "[0:0:0:0:0:0:0:1]",
    "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[64:ff9b::7f00:1]", "[64:ff9b:1::a00:1]", "[2002:7f00:1::]",
    "[2002:a00:1::]", "[fe80::1]", "[fc00::1]", "[fd12:3456::1]", "[ff02::1]", "10.0.0.1", "10.255.255.255",
    "172.16.0.1", "172.31.255.254", "192.168.0.1", "169.254.169.254", "169.254.170.2", "100.64.0.1",
    "100.127.255.254", "192.0.0.8", "198.18.0.1", "203.0.113.5", "224.0.0.1", "240.0.0.1", "255.255.255.255",
    "[::127.0.0.1]", "[fe80::1%25lo]", "2852039166", "0xa9fea9fe",
)  # fmt: skip


@pytest.mark.parametrize("host", INNER)
async def test_an_address_that_is_not_public_is_never_reached(host: str) -> None:
    async with _server(HEAD + b"\r\n") as (url, requests):
        port = url.split(":")[2].split("/")[0]
        outcome = await _send(f"http://{host}:{port}/latest/meta-data/", allow_private=False)
    assert requests == []
    # Some spellings are no URL, or no name. None may be tried: it would be silent or unreachable.
    assert outcome.reason in (
        Reason.DESTINATION_NOT_PUBLIC,
        Reason.DESTINATION_NAME_UNKNOWN,
        Reason.DESTINATION_BROKE_OFF,
    )
    if host[0] == "[" or host.count(".") == 3:
        assert outcome.reason != Reason.DESTINATION_NAME_UNKNOWN


async def test_a_name_that_resolves_into_our_network_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The name's address is checked where the connection is opened, so it does not matter when it moved."""

    async def resolve(*_: object, **__: object) -> list[tuple[object, ...]]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("169.254.169.254", 80))]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", resolve, raising=False)
    outcome = await _send("http://moved.example/", allow_private=False)
    assert outcome.reason == Reason.DESTINATION_NOT_PUBLIC
