"""A circuit breaker pauses a stage when so many records fail that the deployment must be bad.

A stage is a service that consumes records. All its processes pause, and none of them ends. An admin can
resume the stage (table `stage_control`). If the process that paused the stage has ended, the next process
that checks the breaker resumes the stage.
"""

import time
from collections import deque
from pathlib import Path
from typing import Any, Final

from runtime.database.postgres import Pool, load_queries, transaction
from runtime.failures import DependencyUnavailable
from runtime.logs import logger

WINDOW: Final = 200
LIMIT: Final = 100
# How often a process reads whether another process or an admin has paused the stage.
CHECK_SECONDS: Final = 5.0
# The owner refreshes its pause at least every 10 s; three missed refreshes mean that it is dead.
ABANDONED_SECONDS: Final = 30.0
SQL: Any = load_queries(Path(__file__).with_name("circuit_breaker.sql"))


class CircuitBreaker:
    """Pauses the stage if 100 of the last 200 records that this process handled were dead-lettered."""

    def __init__(self, stage: str, pool: Pool) -> None:
        self._stage = stage
        self._pool = pool
        self._outcomes: deque[bool] = deque(maxlen=WINDOW)  # True: dead
        self._open = False
        self._owned = False  # opened by this process
        self._check_at = 0.0  # monotonic
        self._log = logger("breaker")

    def count(self, *, good: int = 0, dead: int = 0) -> None:
        """Count the records that were handled: `dead` were dead-lettered, and `good` were not.

        Do not count a failure that is the fault of one recipient or one sender.
        """
        self._outcomes.extend([False] * min(good, WINDOW))
        self._outcomes.extend([True] * min(dead, WINDOW))

    async def check(self) -> None:
        """Raise `DependencyUnavailable` while the stage is paused. Call it before dead-lettering records."""
        if not self._open and sum(self._outcomes) >= LIMIT:
            await self._open_breaker()
        elif self._open or time.monotonic() >= self._check_at:
            self._check_at = time.monotonic() + CHECK_SECONDS
            await self._read_state()
        if self._open:
            raise DependencyUnavailable(
                "breaker", f"{LIMIT} of the last {WINDOW} records were dead: resume the stage"
            )

    async def _open_breaker(self) -> None:
        async with transaction(self._pool) as connection:
            reason = f"{sum(self._outcomes)} of the last {len(self._outcomes)} records were dead"
            await SQL.pause(connection, stage=self._stage, reason=reason)
        self._open = self._owned = True
        self._log.error("breaker open", stage=self._stage, dead=sum(self._outcomes))

    async def _read_state(self) -> None:
        """Read whether the stage is paused, and update the pause.

        If this process paused the stage, it renews the pause. If another process paused the stage and stopped
        renewing the pause, the pause ends.
        """
        async with transaction(self._pool) as connection:
            if self._owned:
                paused = await SQL.refresh_pause(connection, stage=self._stage)
            else:
                await SQL.resume_abandoned(connection, stage=self._stage, seconds=ABANDONED_SECONDS)
                paused = await SQL.is_paused(connection, stage=self._stage)
        if self._open and not paused:
            self._outcomes.clear()
            self._log.warning("breaker closed", stage=self._stage)
        self._open, self._owned = bool(paused), self._owned and bool(paused)
