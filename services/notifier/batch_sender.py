"""Sends the mails of one batch: which comes next, on how many connections, and when to begin no other."""

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Final, Protocol

from runtime.failures import DependencyUnavailable
from services.notifier.batch_plan import Delivery, Key
from services.notifier.smtp.outcome import Outcome, Verdict
from services.notifier.smtp.pacing import Pacing

# A batch that is in hand for so long comes back for its rest: the watchdog ends a process after 30 minutes.
BATCH_SECONDS: Final = 600.0


class Steps(Protocol):
    """What is done with one mail. Each raises `DependencyUnavailable` where the stage is to pause."""

    async def attempt(self, delivery: Delivery, started_at: float) -> Outcome:
        """Send the mail."""

    async def conclude(self, delivery: Delivery, outcome: Outcome) -> None:
        """Commit its outcome."""

    async def take_back(self, delivery: Delivery) -> None:
        """Make a mail that met a rate limit one that was not begun."""


class BatchSender:
    """Sends on all connections, at the pace of the provider.

    After a fault of the world, or at a stop, it begins no other mail.
    """

    def __init__(
        self,
        steps: Steps,
        deliveries: Sequence[Delivery],
        connections: asyncio.Semaphore,
        pacing: Pacing,
        stopping: asyncio.Event,
    ) -> None:
        self._steps = steps
        self._queue = deque(deliveries)
        self._begun = dict[Key, Delivery]()
        self._faults = list[Exception]()
        self._connections = connections
        self._pacing = pacing
        self._stopping = stopping
        self._ends_at = asyncio.get_running_loop().time() + BATCH_SECONDS

    @property
    def left(self) -> list[Delivery]:
        """Return the mails that have no committed outcome."""
        return [*self._begun.values(), *self._queue]

    async def run(self, workers: int) -> None:
        """Send everything; a fault is kept for `raise_fault`."""
        await asyncio.gather(*(self._work() for _ in range(workers)))

    def raise_fault(self) -> None:
        """Raise why mails are left, if any are."""
        for fault in sorted(self._faults, key=lambda each: not isinstance(each, DependencyUnavailable)):
            raise fault
        if self._queue and self._stopping.is_set():
            raise DependencyUnavailable("stop", "the service is stopping")
        if self._queue:
            raise DependencyUnavailable("smtp", "a batch takes long: its rest follows")

    def _is_over(self) -> bool:
        late = asyncio.get_running_loop().time() > self._ends_at
        if not self._queue or late or self._stopping.is_set():
            return True
        return any(isinstance(fault, DependencyUnavailable) for fault in self._faults)

    async def _work(self) -> None:
        while not self._is_over():
            try:
                await self._send_next()
            except Exception as fault:  # noqa: BLE001 - one mail's fault is told after the others
                self._faults.append(fault)

    async def _send_next(self) -> None:
        async with self._connections:
            async with self._pacing.turn():
                if self._is_over():
                    return
                delivery, started_at = self._queue.popleft(), self._pacing.start()
            self._begun[delivery.key] = delivery
            outcome = await self._steps.attempt(delivery, started_at)
        # Without a connection: while one mail's outcome is written the next is sent.
        if outcome.verdict is Verdict.THROTTLED:
            await self._steps.take_back(delivery)
            self._queue.append(delivery)
        else:
            await self._steps.conclude(delivery, outcome)
        del self._begun[delivery.key]
