"""The fault proxy, before a server that echoes."""

import asyncio
import contextlib
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.faults.injections.proxy import Proxy
from tests.support.wait import eventually


async def closed(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()


@asynccontextmanager
async def echo_behind_proxy() -> AsyncIterator[Proxy]:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while chunk := await reader.read(1024):
                writer.write(chunk)
        await closed(writer)

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    proxy = Proxy(server.sockets[0].getsockname()[1])
    await proxy.start()
    try:
        yield proxy
    finally:
        await proxy.stop()
        server.close()
        await asyncio.sleep(0.01)  # the server's side of what was cut


class Client:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def of(cls, proxy: Proxy) -> "Client":
        return cls(*await asyncio.open_connection("127.0.0.1", proxy.port))

    async def exchange(self, sent: bytes, seconds: float = 5) -> bytes:
        self.writer.write(sent)
        return await asyncio.wait_for(self.reader.readexactly(len(sent)), seconds)

    async def close(self) -> None:
        await closed(self.writer)


async def test_a_healthy_proxy_passes_everything_on() -> None:
    async with echo_behind_proxy() as proxy:
        client = await Client.of(proxy)
        said = b"x" * 100_000
        assert await client.exchange(said) == said
        await client.close()


async def test_a_blackhole_holds_back_until_it_is_healed() -> None:
    async with echo_behind_proxy() as proxy:
        client = await Client.of(proxy)
        proxy.blackhole.add("down")
        with pytest.raises(TimeoutError):
            await client.exchange(b"lost?", 0.2)
        await proxy.heal()
        assert await asyncio.wait_for(client.reader.readexactly(5), 5) == b"lost?"
        await client.close()


async def test_latency_delays_each_way_and_a_limit_slows() -> None:
    async with echo_behind_proxy() as proxy:
        client = await Client.of(proxy)
        proxy.latency_seconds = 0.1
        started = time.monotonic()
        await client.exchange(b"ping")
        assert time.monotonic() - started >= 0.2
        await proxy.heal()
        proxy.bytes_per_second = 10_000
        started = time.monotonic()
        await client.exchange(b"x" * 1000)
        assert time.monotonic() - started >= 0.2
        await client.close()


async def test_last_words_arrive_and_their_answer_does_not() -> None:
    async with echo_behind_proxy() as proxy:
        client, other = await Client.of(proxy), await Client.of(proxy)
        assert await client.exchange(b"BEGIN") == b"BEGIN"
        proxy.cut_after = b"COMMIT"
        client.writer.write(b"COMMIT;")
        assert await asyncio.wait_for(client.reader.read(), 5) == b""
        assert proxy.cuts == 1
        assert await other.exchange(b"SELECT") == b"SELECT"
        await client.close()
        await other.close()


async def test_a_reset_cuts_and_a_stopped_proxy_refuses() -> None:
    async with echo_behind_proxy() as proxy:
        client = await Client.of(proxy)
        await client.exchange(b"ping")
        proxy.reset()

        async def cut() -> bool:
            try:
                return await client.reader.read(1) == b""
            except ConnectionResetError:
                return True

        assert await eventually(cut)
        await client.close()
        await proxy.stop()
        with pytest.raises(ConnectionRefusedError):
            await Client.of(proxy)
        await proxy.heal()
        again = await Client.of(proxy)
        assert await again.exchange(b"ping") == b"ping"
        await again.close()


def test_processes_have_ports_of_their_own() -> None:
    program = (
        "from tests.faults.injections.proxy import own_port\n"
        "print(*(own_port() for _ in range(300)), flush=True)\n"
        "input()"
    )
    command = [sys.executable, "-c", program]
    pipe = subprocess.PIPE
    with (
        subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as first,
        subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as second,
    ):
        assert first.stdout
        assert second.stdout
        ports = [*first.stdout.readline().split(), *second.stdout.readline().split()]
        first.communicate("\n")
        second.communicate("\n")
    assert len(ports) == 600
    assert len(set(ports)) == 600
