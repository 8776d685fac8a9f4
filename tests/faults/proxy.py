"""A TCP proxy that misbehaves as networks do. It knows bytes and time, no protocol."""

import asyncio
import contextlib
import random
import socket
from dataclasses import dataclass, field
from typing import Literal

Way = Literal["up", "down"]  # towards the server, and back

CHUNK_BYTES = 16 * 1024
# What is on its way at most, in chunks: beyond it the sender feels the slowness, as with a full pipe.
CHUNKS_IN_FLIGHT = 64
# How long a server may take to do what the last words told it, before the connection is cut.
HEARD_SECONDS = 0.3


_PORTS = iter(random.sample(range(20_000, 32_000), 12_000))


def own_port() -> int:
    """Find a port below those that clients are given: else, while a server is dead, one may take its port."""
    for port in _PORTS:
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise OSError("no port is free between 20000 and 32000")


@dataclass
class Proxy:
    """Listens on a port of its own before one server. Set a fault; `heal` ends all of them.

    A blackhole holds bytes back, as lost packets are: they arrive after it, if anybody still waits.
    `last_words`: a connection on which these bytes went up gets no answer any more, and is cut.
    """

    target_port: int
    port: int = field(default_factory=own_port)
    blackhole: set[Way] = field(default_factory=set)
    latency_seconds: float = 0.0
    bytes_per_second: float = 0.0
    last_words: bytes = b""
    cuts: int = 0  # connections cut by their last words
    connections: int = 0
    _pairs: set[asyncio.StreamWriter] = field(default_factory=set)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)
    _serving: set[asyncio.Task[None]] = field(default_factory=set)
    _server: asyncio.Server | None = None

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, limit=CHUNK_BYTES)

    async def stop(self) -> None:
        """Refuse new connections and reset those that are open."""
        if self._server:
            self._server.close()
            self._server = None
        self.reset()
        await asyncio.gather(*self._serving, return_exceptions=True)
        await asyncio.sleep(0)  # the loop closes aborted sockets in its next round

    def reset(self) -> None:
        """Cut every connection with an RST."""
        for writer in list(self._pairs):
            writer.transport.abort()
        for task in list(self._tasks):
            task.cancel()

    async def heal(self) -> None:
        """Be a plain wire again."""
        self.blackhole.clear()
        self.latency_seconds = self.bytes_per_second = 0.0
        self.last_words = b""
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
            deaf = asyncio.Event()
            pumps = [
                asyncio.create_task(self._pump(reader, upstream, "up", deaf)),
                asyncio.create_task(self._pump(answers, writer, "down", deaf)),
            ]
            self._tasks.update(pumps)
            try:
                await asyncio.wait(pumps)
            finally:
                for pump in pumps:
                    pump.cancel()
                self._tasks.difference_update(pumps)
        except OSError:
            pass  # The server is not there: whoever connected to us is cut off too.
        finally:
            for each in (writer, upstream):
                if each is not None:
                    self._pairs.discard(each)
                    each.transport.abort()

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, way: Way, deaf: asyncio.Event
    ) -> None:
        """Carry one direction: what was read is delivered when its time has come, in its order."""
        flight: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(CHUNKS_IN_FLIGHT)
        delivery = asyncio.create_task(self._deliver(flight, writer, way, deaf))
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
        way: Way,
        deaf: asyncio.Event,
    ) -> None:
        clock = asyncio.get_running_loop().time
        with contextlib.suppress(OSError, RuntimeError):
            while True:
                due, chunk = await flight.get()
                await asyncio.sleep(max(0.0, due - clock()))
                while way in self.blackhole:  # noqa: ASYNC110 - two directions, one set
                    await asyncio.sleep(0.05)
                if not chunk:
                    writer.write_eof()
                    return
                if self.bytes_per_second:
                    await asyncio.sleep(len(chunk) / self.bytes_per_second)
                if way == "up" and self.last_words and self.last_words in chunk:
                    deaf.set()  # before it goes on: the answer may be quick
                    self.cuts += 1
                if not (way == "down" and deaf.is_set()):
                    writer.write(chunk)
                    await writer.drain()
                if way == "up" and deaf.is_set():
                    await asyncio.sleep(HEARD_SECONDS)
                    writer.transport.abort()  # the other way finds an end, and passes that on
                    return
