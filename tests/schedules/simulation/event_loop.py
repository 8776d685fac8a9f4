"""An asyncio event loop whose clock is virtual and whose choices come from a seed.

Several simulated processes share one loop. Callbacks of one process run in the order in which they were
scheduled, as asyncio promises. Between processes the seed chooses, because their order is not defined. If
nothing is ready, the clock jumps to the next timer. A killed process never runs again, and a frozen one runs
later.
"""

import asyncio
import heapq
import itertools
import socket
from collections import deque
from collections.abc import Callable, Coroutine
from contextvars import Context, ContextVar, copy_context
from random import Random
from typing import Any, Final

_START_SECONDS: Final = 1000.0
# How long a callback takes. Without it, code that waits for the rest of a time that is too small for a float
# would wait forever, such as a producer's linger.
_STEP_SECONDS: Final = 1e-5
# A schedule that does so many steps without an end is stuck in a loop without a wait.
MAX_STEPS: Final = 3_000_000


class StuckError(Exception):
    """Nothing is ready and no timer is set, or the schedule has taken too many steps."""


class Process:
    """A simulated operating system process: the tasks that were started in its context."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.alive = True
        self.frozen_until = 0.0
        self.on_kill: list[Callable[[], None]] = []
        self.ready: deque[asyncio.Handle] = deque()

    def __repr__(self) -> str:
        return f"<{self.name}>"


# The process of the current context. The environment is the process that is never killed: brokers, the
# database, the network and the schedule itself.
ENVIRONMENT: Final = Process("environment")
_current: ContextVar[Process] = ContextVar("simulated_process", default=ENVIRONMENT)


def current_process() -> Process:
    """Return the simulated process that runs now."""
    return _current.get()


def context_of(process: Process, context: Context | None = None) -> Context:
    """Return a context whose tasks and callbacks belong to `process`; without one, a copy of the current."""
    context = copy_context() if context is None else context
    context.run(_current.set, process)
    return context


_numbers = itertools.count(1)


def restart_numbers() -> None:
    """Number tasks and futures from 1 again, so that each schedule has the same numbers."""
    global _numbers  # noqa: PLW0603 - the constructors of tasks and futures have no owner
    _numbers = itertools.count(1)


class _Task(asyncio.Task[Any]):
    """A task whose hash is a number in order of creation: sets of tasks have the same order in each run."""

    def __init__(self, *args: Any, **options: Any) -> None:
        self._number = next(_numbers)
        self.process = current_process()
        super().__init__(*args, **options)

    def __hash__(self) -> int:
        return self._number


class _Future(asyncio.Future[Any]):
    """A future whose hash is a number in order of creation."""

    def __init__(self, *args: Any, **options: Any) -> None:
        self._number = next(_numbers)
        super().__init__(*args, **options)

    def __hash__(self) -> int:
        return self._number


class VirtualLoop(asyncio.BaseEventLoop):
    """The event loop of one schedule."""

    def __init__(self, rng: Random) -> None:
        super().__init__()
        ENVIRONMENT.ready.clear()  # of the schedule before
        self.rng = rng
        self.steps = 0
        self._now = _START_SECONDS
        self._order = itertools.count()
        self._timers: list[tuple[float, int, asyncio.TimerHandle]] = []
        self._runnable: list[Process] = []  # the processes with ready callbacks
        self.tasks: list[_Task] = []
        self.network: Any = None
        self._connected: dict[int, Any] = {}  # the address of each socket, by its descriptor
        self.errors: list[BaseException] = []  # of the environment: bugs of the simulation
        self.set_exception_handler(self._note_error)
        self.set_task_factory(self._make_task)  # type: ignore[arg-type]

    def _make_task(self, _: Any, coroutine: Coroutine[Any, Any, Any], **options: Any) -> _Task:
        task = _Task(coroutine, loop=self, **options)
        self.tasks.append(task)
        if len(self.tasks) > 2000:
            self.tasks = [each for each in self.tasks if not each.done()]
        return task

    def _note_error(self, _: Any, context: dict[str, Any]) -> None:
        error = context.get("exception")
        task = context.get("future") or context.get("task")
        if error and isinstance(task, _Task) and task.process is ENVIRONMENT:
            self.errors.append(error)

    def create_future(self) -> _Future:
        """Return a future with a reproducible hash."""
        return _Future(loop=self)

    # --- time ------------------------------------------------------------------------------------------

    def time(self) -> float:
        """Return the virtual time in seconds."""
        return self._now

    def call_at(  # type: ignore[override]
        self, when: float, callback: Any, *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """Call `callback` at the virtual time `when`."""
        timer = asyncio.TimerHandle(when, callback, args, self, context)
        heapq.heappush(self._timers, (when, next(self._order), timer))
        return timer

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        del handle

    # --- running ---------------------------------------------------------------------------------------

    def _call_soon(self, callback: Any, args: Any, context: Context | None) -> asyncio.Handle:
        handle = asyncio.Handle(callback, args, self, context)
        self._enqueue(handle)
        return handle

    def _enqueue(self, handle: asyncio.Handle) -> None:
        process: Process = handle._context.get(_current, ENVIRONMENT)  # type: ignore[attr-defined]
        if not process.alive:
            return
        if not process.ready:
            self._runnable.append(process)
        process.ready.append(handle)

    def _run_once(self) -> None:
        self.steps += 1
        if self.steps > MAX_STEPS:
            raise StuckError(f"more than {MAX_STEPS:,} steps: something loops without a wait")
        self._now += _STEP_SECONDS
        self._start_timers()
        while not (runnable := self._choose()):
            if self._stopping:  # type: ignore[attr-defined]
                return
            self._advance()
        handle = runnable.ready.popleft()
        if not runnable.ready:
            self._runnable.remove(runnable)
        if not handle.cancelled():
            handle._run()

    def _choose(self) -> Process | None:
        """Return the process that runs next, or None if all wait."""
        if len(self._runnable) == 1 and self._runnable[0].frozen_until <= self._now:
            return self._runnable[0]
        choices = [each for each in self._runnable if each.frozen_until <= self._now]
        return choices[int(self.rng.random() * len(choices))] if choices else None

    def _start_timers(self) -> None:
        while self._timers and self._timers[0][0] <= self._now:
            handle = heapq.heappop(self._timers)[2]
            if not handle.cancelled():
                self._enqueue(handle)

    def _advance(self) -> None:
        """Move the clock to the next timer, or to the moment when a frozen process continues."""
        while self._timers and self._timers[0][2].cancelled():
            heapq.heappop(self._timers)
        moments = [each.frozen_until for each in self._runnable]
        if self._timers:
            moments.append(self._timers[0][0])
        if not moments:
            raise StuckError("nothing is ready, and no timer is set")
        self._now = max(self._now, min(moments))
        self._start_timers()

    # --- processes -------------------------------------------------------------------------------------

    def kill(self, process: Process) -> None:
        """End a process at once, as SIGKILL does. None of its code runs again."""
        process.alive = False
        if process.ready:
            process.ready.clear()
            self._runnable.remove(process)
        for close in process.on_kill:
            close()
        process.on_kill.clear()

    def freeze(self, process: Process, seconds: float) -> None:
        """Stop a process for a while, as SIGSTOP, a swapped machine or a long garbage collection do."""
        process.frozen_until = max(process.frozen_until, self._now + seconds)

    # --- what asyncio's loops provide ------------------------------------------------------------------

    async def create_connection(
        self, protocol_factory: Any, host: Any = None, port: Any = None, *, sock: Any = None, **_: Any
    ) -> Any:
        """Connect to a server of the simulated network. Raises `OSError` if nothing listens there."""
        if sock is not None:
            host, port = self._connected.pop(sock.fileno())
            sock.close()
        return await self.network.connect(protocol_factory, host, port)

    async def getaddrinfo(self, host: Any, port: Any, **_: Any) -> Any:
        """Look up a name of the simulated network. Raises `socket.gaierror` if nobody knows it."""
        address = await self.network.look_up(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (address, port))]

    async def sock_connect(self, sock: Any, address: Any) -> None:
        """Remember where a socket connects to: `create_connection` gets the socket next."""
        await self.network.reach(address)
        self._connected[sock.fileno()] = address

    def run_in_executor(  # type: ignore[override]
        self, executor: Any, func: Any, *args: Any
    ) -> asyncio.Future[Any]:
        """Run `func` in the loop's thread, after a delay that the seed chooses."""
        future = self.create_future()

        def run() -> None:
            if future.cancelled():
                return
            try:
                future.set_result(func(*args))
            except Exception as error:  # noqa: BLE001 - as a thread pool does
                future.set_exception(error)

        self.call_later(self.rng.random() * 0.01, run)
        return future

    def _process_events(self, event_list: Any) -> None:
        del event_list

    def _write_to_self(self) -> None: ...

    def bury(self) -> None:
        """Close the coroutines that are left, of killed processes too, without running them."""
        for task in self.tasks:
            task._log_destroy_pending = False  # type: ignore[attr-defined]
            coroutine: Any = task.get_coro()
            for _ in range(20):
                try:
                    coroutine.close()
                except (RuntimeError, ValueError):  # it awaits something while it is closed
                    continue
                except BaseException:  # noqa: BLE001, S112 - its clean-up failed; the process is dead
                    continue
                break
        self.tasks.clear()
