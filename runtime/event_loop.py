"""The event loop of every process: uvloop, with Happy Eyeballs (RFC 8305) for each outgoing connection.

asyncpg, aiokafka and aiosmtplib connect through `loop.create_connection`. The original method tries the
addresses of a host one after the other, so one dead IPv6 address uses up the whole connect timeout.
"""

import asyncio
import itertools
import os
import socket
import sys
from collections.abc import Coroutine, Iterable
from typing import Any, Final, TypeAlias, TypeVar

if sys.platform == "win32":
    from asyncio import SelectorEventLoop as BaseLoop
else:
    from uvloop import Loop as BaseLoop

T = TypeVar("T")
AddressInfo: TypeAlias = tuple[Any, Any, int, str, Any]  # as getaddrinfo returns it

# "Connection Attempt Delay", RFC 8305, section 5.
ATTEMPT_DELAY_SECONDS: Final = 0.25


class Loop(BaseLoop):
    """An event loop that connects to whichever address of a host answers first."""

    async def create_connection(
        self, protocol_factory: Any, host: Any = None, port: Any = None, **options: Any
    ) -> Any:
        """Connect like the base class, but race the addresses of `host`."""
        if not host or options.get("sock") is not None or options.get("local_addr") is not None:
            return await super().create_connection(protocol_factory, host, port, **options)
        family, proto, flags = (options.pop(name, 0) for name in ("family", "proto", "flags"))
        addresses = await self.getaddrinfo(
            host, port, family=family, type=socket.SOCK_STREAM, proto=proto, flags=flags
        )
        sock = await self._race(_interleave(addresses))
        if options.get("ssl") and not options.get("server_hostname"):
            options["server_hostname"] = host  # certificates are verified against the name
        try:
            return await super().create_connection(protocol_factory, sock=sock, **options)
        except BaseException:
            sock.close()
            raise

    async def _race(self, addresses: list[AddressInfo]) -> socket.socket:
        """Return the first socket that connects. Raises the first address's error if none does.

        The next attempt starts as soon as an attempt has failed, or 250 ms after the previous attempt began.
        """
        waiting, attempts = list(addresses), list[asyncio.Task[socket.socket]]()
        try:
            while waiting or any(not attempt.done() for attempt in attempts):
                if waiting:
                    attempts.append(asyncio.create_task(self._connect_socket(waiting.pop(0))))
                pending = [attempt for attempt in attempts if not attempt.done()]
                delay = ATTEMPT_DELAY_SECONDS if waiting else None
                await asyncio.wait(pending, timeout=delay, return_when=asyncio.FIRST_COMPLETED)
                for attempt in attempts:
                    if attempt.done() and not attempt.exception():
                        attempts.remove(attempt)
                        return attempt.result()
            raise next(error for attempt in attempts if (error := attempt.exception()))
        finally:
            for attempt in attempts:
                attempt.cancel()
                attempt.add_done_callback(_close_losing_socket)

    async def _connect_socket(self, address: AddressInfo) -> socket.socket:
        family, kind, proto, _, target = address
        sock = socket.socket(family, kind, proto)
        try:
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await self.sock_connect(sock, target)
        except BaseException:
            sock.close()
            raise
        return sock


def _close_losing_socket(attempt: asyncio.Task[socket.socket]) -> None:
    """Close the socket of an attempt that lost; retrieve its error, so that asyncio does not log it."""
    if not attempt.cancelled() and not attempt.exception():
        attempt.result().close()


def _interleave(addresses: Iterable[AddressInfo]) -> list[AddressInfo]:
    """Return the addresses with alternating families. Each family keeps its order (RFC 8305, section 4)."""
    families: dict[Any, list[AddressInfo]] = {}
    for address in addresses:
        families.setdefault(address[0], []).append(address)
    rounds = itertools.zip_longest(*families.values())
    return [address for each in rounds for address in each if address]


def allow_lookups(count: int) -> None:
    """Let names of `count` hosts be looked up at once. Call it before the process looks up its first name.

    uvloop looks names up in libuv's threads: four, of which two may wait for a name server. So two names
    whose servers do not answer would hold up each new connection of the process, to any host.
    """
    os.environ.setdefault("UV_THREADPOOL_SIZE", str(2 * count))


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on this event loop; the equivalent of `asyncio.run`."""
    with asyncio.Runner(loop_factory=Loop) as runner:
        return runner.run(main)
