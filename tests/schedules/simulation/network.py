"""A network in memory: ordered byte streams with a latency, which can be cut or held."""

import asyncio
import socket
from collections.abc import Callable
from contextvars import Context, copy_context
from typing import Any, Final

from tests.schedules.simulation.event_loop import (
    ENVIRONMENT,
    Process,
    VirtualLoop,
    context_of,
    current_process,
)

Address = tuple[str, int]
CONNECT_FAILED: Final = "nothing listens at {address}"


class Network:
    """The servers by address, and the connections between them and the processes.

    `held` has the processes whose packets are lost for now, as behind a firewall that drops them.
    """

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop
        self._servers: dict[Address, tuple[Callable[[], asyncio.Protocol], Process]] = {}
        self.names: dict[str, str] = {}  # the address of each host that clients look up
        self.open: list[_Transport] = []
        self.hung: set[Address] = set()  # they accept connections and bytes, and answer nothing
        self.slow_factor = 1.0
        loop.network = self

    def listen(
        self, address: Address, factory: Callable[[], asyncio.Protocol], process: Process = ENVIRONMENT
    ) -> None:
        """Accept connections at `address`; `factory` makes the protocol of each, which runs in `process`."""
        self._servers[address] = factory, process

    def close(self, address: Address) -> None:
        """Refuse further connections at `address`, and cut the open ones."""
        self._servers.pop(address, None)
        for transport in [each for each in self.open if each.address == address]:
            transport.abort()

    def cut(self, process: Process) -> None:
        """Cut all connections of a process, as its death does."""
        for transport in [each for each in self.open if each.process is process]:
            transport.peer.lose(self.latency())
            transport.forget()

    def latency(self) -> float:
        """Return the seconds that a packet needs: mostly well below a millisecond, sometimes more."""
        rng = self._loop.rng
        draw = rng.random()
        seconds = 0.0002 + 0.0008 * draw
        if draw < 0.02:
            seconds += 0.2 * rng.random()
        return seconds * self.slow_factor

    async def look_up(self, host: str) -> str:
        """Return the address of a host. Raises `socket.gaierror` if nobody knows its name."""
        await asyncio.sleep(self.latency())
        if host not in self.names:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return self.names[host]

    async def reach(self, address: Address) -> None:
        """Raise `ConnectionRefusedError` if nothing listens at `address`."""
        await asyncio.sleep(self.latency())
        if address not in self._servers:
            raise ConnectionRefusedError(CONNECT_FAILED.format(address=address))

    async def connect(self, factory: Any, host: str, port: int) -> tuple[asyncio.Transport, asyncio.Protocol]:
        """Return both ends as `loop.create_connection` does. Raises `ConnectionRefusedError`."""
        await asyncio.sleep(self.latency())
        address = (host, int(port))
        factory_of_server, process = self._servers.get(address, (None, ENVIRONMENT))
        if factory_of_server is None:
            raise ConnectionRefusedError(CONNECT_FAILED.format(address=address))
        protocol: asyncio.Protocol = factory()
        near = _Transport(self, self._loop, protocol, address, current_process(), copy_context())
        accepted = factory_of_server()
        context = context_of(process, Context())
        far = _Transport(self, self._loop, accepted, address, current_process(), context)
        near.peer, far.peer = far, near
        self.open += [near, far]
        context.copy().run(accepted.connection_made, far)
        protocol.connection_made(near)
        return near, protocol


class _Transport(asyncio.Transport):
    """One end of a connection. `process` is the client's process at both ends."""

    peer: "_Transport"

    def __init__(
        self,
        network: Network,
        loop: VirtualLoop,
        protocol: asyncio.Protocol,
        address: Address,
        process: Process,
        context: Context,
    ) -> None:
        super().__init__()
        self._network, self._loop = network, loop
        self._protocol, self._context = protocol, context
        self.address, self.process = address, process
        self._arrival = 0.0  # of the last packet that was sent: packets do not overtake
        self._closing = self._lost = False

    def write(self, data: Any) -> None:
        """Send bytes to the peer."""
        if self._closing:
            return
        self._deliver(self.peer.receive, bytes(data))

    def _deliver(self, call: Any, *args: Any) -> None:
        self._arrival = max(self._arrival, self._loop.time() + self._network.latency())
        self._loop.call_at(self._arrival, call, *args, context=self.peer._context)

    def receive(self, data: bytes) -> None:
        if not self._lost and not self._closing:
            self._protocol.data_received(data)

    def lose(self, seconds: float = 0.0) -> None:
        """Tell the protocol that the other end is gone."""
        self._loop.call_later(seconds, self._end, context=self._context)

    def _end(self) -> None:
        if not self._lost:
            self._lost = self._closing = True
            self.forget()
            self._protocol.connection_lost(None)

    def forget(self) -> None:
        """Take this end out of the network's list."""
        if self in self._network.open:
            self._network.open.remove(self)

    def close(self) -> None:
        """Close both ends; the peer hears of it after what was sent before."""
        if self._closing:
            return
        self._closing = True
        self._deliver(self.peer._end)
        self._loop.call_soon(self._end, context=self._context)

    def abort(self) -> None:
        """Close at once."""
        self.close()

    def is_closing(self) -> bool:
        """Return True after `close`."""
        return self._closing

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Return nothing: there is no socket."""
        del name
        return default

    def pause_reading(self) -> None:
        """Do nothing: buffers are unlimited here."""

    def resume_reading(self) -> None:
        """Do nothing: buffers are unlimited here."""

    def can_write_eof(self) -> bool:
        """Return False."""
        return False
