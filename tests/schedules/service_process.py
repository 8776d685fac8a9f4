"""One process of a service in the simulation, and the supervisor that starts it again."""

import asyncio
from collections.abc import Callable
from typing import Any, Final

from tests.schedules.simulation.event_loop import ENVIRONMENT, Process, VirtualLoop, context_of
from tests.schedules.simulation.network import Network

# The container's grace period: a stop that takes longer is a fault.
GRACE_SECONDS: Final = 60.0
RESTART_SECONDS: Final = 1.0


class ServiceProcess:
    """Runs the app that `create_app` returns: its lifespan, as uvicorn does, without a socket.

    `failures` has what a process did that it must not do.
    """

    def __init__(
        self, name: str, create_app: Callable[[], Any], loop: VirtualLoop, network: Network, note: Any
    ) -> None:
        self.name = name
        self.failures: list[str] = []
        self.exits = 0
        self._create_app, self._loop, self._network, self._note = create_app, loop, network, note
        self._stopping = asyncio.Event()  # of the current process
        self._ended = asyncio.Event()
        self._restart_after = RESTART_SECONDS
        self._down = False
        self.process = Process(name)
        self.supervisor = loop.create_task(self._supervise(), context=context_of(ENVIRONMENT))

    async def _supervise(self) -> None:
        while True:
            self.process = Process(self.name)
            self._stopping, self._ended = asyncio.Event(), asyncio.Event()
            self._note("starts", self.name)
            work = self._loop.create_task(self._live(), context=context_of(self.process))
            await self._ended.wait()
            del work
            if self._down:
                return
            await asyncio.sleep(self._restart_after)
            self._restart_after = RESTART_SECONDS

    async def _live(self) -> None:
        ended, process = self._ended, self.process
        try:
            app = self._create_app()
            async with app.router.lifespan_context(app):
                await self._stopping.wait()
        except Exception as error:  # noqa: BLE001 - whatever ends a service's lifespan is a finding
            self.failures.append(f"{self.name}: the lifespan raised {error!r}")
        finally:
            if process.alive:
                self._note("ended", self.name)
                self._network.cut(process)
                self._loop.kill(process)  # with what its lifespan has left running
                ended.set()

    @property
    def is_stopping(self) -> bool:
        """Return True once the process has to stop."""
        return self._stopping.is_set()

    def end_itself(self, cause: BaseException | None) -> None:
        """Stop, as a process does that has sent SIGTERM to itself."""
        self.exits += 1
        if type(cause).__name__ != "ConsumerStalled":
            self.failures.append(f"{self.name}: background work failed: {cause!r}")
        self._stopping.set()

    def kill(self, seconds: float) -> None:
        """Kill the process; it starts again after `seconds`."""
        if not self.process.alive or self._ended.is_set():
            return
        self._note("is killed", self.name)
        self._restart_after = seconds
        self._loop.kill(self.process)
        self._network.cut(self.process)
        self._ended.set()

    def restart(self, seconds: float) -> None:
        """Stop the process in order; it starts again after `seconds`."""
        self._note("is stopped in order", self.name)
        self._restart_after = seconds
        self._stopping.set()

    def freeze(self, seconds: float) -> None:
        """Freeze the process."""
        self._note(f"is frozen for {seconds:g} s", self.name)
        self._loop.freeze(self.process, seconds)

    def cut(self) -> None:
        """Cut the connections of the process: both ends notice."""
        self._note("loses its connections", self.name)
        for transport in [each for each in self._network.open if each.process is self.process]:
            transport.lose()

    async def stop(self) -> None:
        """Stop in order, and start no more."""
        self._down = True
        self._stopping.set()
        try:
            await asyncio.wait_for(self._ended.wait(), GRACE_SECONDS)
        except TimeoutError:
            self.failures.append(f"{self.name}: did not stop within {GRACE_SECONDS:g} s")
            self.kill(0)
