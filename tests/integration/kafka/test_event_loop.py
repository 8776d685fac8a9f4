"""The drivers reach a host although one of its addresses is dead."""

import socket
import ssl
import time
from typing import Any

import aiosmtplib
import asyncpg
import pytest
from aiokafka.client import AIOKafkaClient

from runtime import event_loop
from tests.support.mail.smtp import smtp_server, tls_for_localhost
from tests.support.stack import Database, Stack
from tests.support.web.unreachable_address import blackhole

# Far below every connect timeout, far above two attempts' delay on a busy machine.
PROMPT_SECONDS = 4.0


def resolve(monkeypatch: pytest.MonkeyPatch, *hosts: str) -> None:
    """Make `localhost` a name of these addresses, in this order."""

    async def getaddrinfo(_: Any, host: str, port: int, **__: Any) -> list[Any]:
        names = hosts if host == "localhost" else (host,)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (name, port)) for name in names]

    monkeypatch.setattr(event_loop.Loop, "getaddrinfo", getaddrinfo)


def test_postgresql_connection_skips_dead_address(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    host, port = database.service.rpartition("@")[2].partition("/")[0].split(":")
    resolve(monkeypatch, "127.0.0.2", host)

    async def read_one() -> object:
        url = database.service.replace(f"@{host}:", "@localhost:")
        connection = await asyncpg.connect(url, timeout=PROMPT_SECONDS)
        try:
            return await connection.fetchval("SELECT 1")
        finally:
            await connection.close()

    with blackhole(port=int(port)):
        assert event_loop.run(read_one()) == 1


def test_kafka_connection_skips_dead_address(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    host, port = stack.bootstrap_servers.split(":")
    resolve(monkeypatch, "127.0.0.2", host)

    async def bootstrap() -> int:
        client = AIOKafkaClient(
            bootstrap_servers=f"localhost:{port}", request_timeout_ms=int(PROMPT_SECONDS * 1000)
        )
        try:
            await client.bootstrap()
            return len(client.cluster.brokers())
        finally:
            await client.close()

    with blackhole(port=int(port)):
        assert event_loop.run(bootstrap()) == 1


def test_smtp_skips_dead_address_and_verifies_tls_by_host_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    resolve(monkeypatch, "127.0.0.2", "127.0.0.1")
    server_tls, authority = tls_for_localhost()

    async def greet() -> int:
        async with smtp_server(tls_context=server_tls) as server:
            with blackhole(port=server.port):
                client = aiosmtplib.SMTP(
                    hostname="localhost",
                    port=server.port,
                    start_tls=True,
                    tls_context=ssl.create_default_context(cafile=authority),
                    timeout=PROMPT_SECONDS,
                )
                async with client:
                    return (await client.noop()).code

    assert event_loop.run(greet()) == 250


def test_unreachable_host_raises_first_error_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    resolve(monkeypatch, "127.0.0.2", "127.0.0.3")
    started = time.monotonic()
    with socket.socket() as unused:
        unused.bind(("127.0.0.2", 0))  # bound, not listening: refused
        port = unused.getsockname()[1]
        with pytest.raises(ConnectionRefusedError):
            event_loop.run(asyncpg.connect("postgresql://nobody@localhost", port=port))
    assert time.monotonic() - started < PROMPT_SECONDS
