"""A TCP proxy that simulates network faults. It knows no protocol."""

import asyncio
import contextlib
import fcntl
import os
import random
import socket
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

Direction = Literal["up", "down"]  # towards the server, and back

CHUNK_BYTES = 16 * 1024
# Buffered chunks per direction. Beyond them the sender is slowed down, as by a full socket buffer.
CHUNKS_IN_FLIGHT = 64
# The time in which the server executes the `cut_after` command before the connection is cut.
COMMIT_SECONDS = 0.3


_PORTS_OF_A_PROCESS = 400


def _own_ports() -> Iterator[int]:
    # A port is free while its server is dead. So each process locks a file for the ports that it may use. The
    # descriptor stays open: the kernel closes it, and ends the lock, with the process.
    firsts = list(range(20_000, 32_000, _PORTS_OF_A_PROCESS))
    for first in random.sample(firsts, len(firsts)):
        lock = Path(tempfile.gettempdir()) / f"fastcore-test-ports-{first}"
        with contextlib.suppress(OSError):  # another process has it, or another user
            fcntl.flock(os.open(lock, os.O_RDWR | os.O_CREAT, 0o644), fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield from range(first, first + _PORTS_OF_A_PROCESS)


_PORTS = _own_ports()


def own_port() -> int:
    """Return a free port that no other process gets, outside the ephemeral range."""
    for port in _PORTS:
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise OSError("no port is free between 20000 and 32000")


@dataclass
class Proxy:
    """Listens on its own port and forwards to one server. Set a fault; `heal` ends all faults.

    A blackhole delays bytes until it ends, like lost packets that are retransmitted.
    A connection that sends the bytes `cut_after` gets no more replies and is cut.
    """

    target_port: int
    port: int = field(default_factory=own_port)
    host: str = "127.0.0.1"  # the address on which it listens
    blackhole: set[Direction] = field(default_factory=set)
    latency_seconds: float = 0.0
    bytes_per_second: float = 0.0
    cut_after: bytes = b""
    cuts: int = 0  # connections cut by `cut_after`
    connections: int = 0
    _pairs: set[asyncio.StreamWriter] = field(default_factory=set)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)
    _serving: set[asyncio.Task[None]] = field(default_factory=set)
    _server: asyncio.Server | None = None

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, self.host, self.port, limit=CHUNK_BYTES)

    async def stop(self) -> None:
        """Refuse new connections and reset those that are open."""
        if self._server:
            self._server.close()
            self._server = None
        self.reset()
        await asyncio.gather(*self._serving, return_exceptions=True)
        await asyncio.sleep(0)  # the loop closes aborted sockets in its next round

    def reset(self) -> None:
        """Reset every connection (RST)."""
        for writer in list(self._pairs):
            writer.transport.abort()
        for task in list(self._tasks):
            task.cancel()

    async def heal(self) -> None:
        """End all faults."""
        self.blackhole.clear()
        self.latency_seconds = self.bytes_per_second = 0.0
        self.cut_after = b""
        if self._server is None:
            await self.start()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._pairs.add(writer)
        serving = asyncio.current_task()
        assert serving
        self._serving.add(serving)
        serving.add_done_callback(self._serving.discard)
        upstream: asyncio.StreamWriter | None = None
        try:
            answers, upstream = await asyncio.open_connection("127.0.0.1", self.target_port)
            self._pairs.add(upstream)
            self.connections += 1
            cut = asyncio.Event()
            pumps = [
                asyncio.create_task(self._pump(reader, upstream, "up", cut)),
                asyncio.create_task(self._pump(answers, writer, "down", cut)),
            ]
            self._tasks.update(pumps)
            try:
                await asyncio.wait(pumps)
            finally:
                for pump in pumps:
                    pump.cancel()
                self._tasks.difference_update(pumps)
        except OSError:
            pass  # The server is unavailable: close the connection of the client too.
        finally:
            for each in (writer, upstream):
                if each is not None:
                    self._pairs.discard(each)
                    each.transport.abort()

    async def _pump(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        direction: Direction,
        cut: asyncio.Event,
    ) -> None:
        """Forward one direction, in order, each chunk after its latency."""
        flight: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(CHUNKS_IN_FLIGHT)
        delivery = asyncio.create_task(self._deliver(flight, writer, direction, cut))
        clock = asyncio.get_running_loop().time
        try:
            while chunk := await reader.read(CHUNK_BYTES):
                await flight.put((clock() + self.latency_seconds, chunk))
            await flight.put((clock() + self.latency_seconds, b""))
            await delivery
        except OSError:
            writer.transport.abort()
        finally:
            delivery.cancel()

    async def _deliver(
        self,
        flight: asyncio.Queue[tuple[float, bytes]],
        writer: asyncio.StreamWriter,
        direction: Direction,
        cut: asyncio.Event,
    ) -> None:
        clock = asyncio.get_running_loop().time
        with contextlib.suppress(OSError, RuntimeError):
            while True:
                due, chunk = await flight.get()
                await asyncio.sleep(max(0.0, due - clock()))
                while direction in self.blackhole:  # noqa: ASYNC110 - two directions, one set
                    await asyncio.sleep(0.05)
                if not chunk:
                    writer.write_eof()
                    return
                if self.bytes_per_second:
                    await asyncio.sleep(len(chunk) / self.bytes_per_second)
                if direction == "up" and self.cut_after and self.cut_after in chunk:
                    cut.set()  # before the chunk is forwarded: the reply may be quick
                    self.cuts += 1
                if not (direction == "down" and cut.is_set()):
                    writer.write(chunk)
                    await writer.drain()
                if direction == "up" and cut.is_set():
                    await asyncio.sleep(COMMIT_SECONDS)
                    writer.transport.abort()  # the other direction then reads EOF and forwards it
                    return
