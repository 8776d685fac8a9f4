"""A stage's breaker: dead letters that say that the deploy is bad, not the data, stop the stage.

It never ends a process. An admin closes it (`stage_control`), or the restart of the process that opened
it, or nobody: another process that joins, as one does when lag grows, finds the stage paused.
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
# What the other processes of the stage say is asked for so often.
LOOK_SECONDS: Final = 5.0
# Who opened it says so at each try, 10 s apart at most; after three that were missed it is gone.
ABANDONED_SECONDS: Final = 30.0
SQL: Any = load_queries(Path(__file__).with_name("breaker.sql"))


class CircuitBreaker:
    """Counts the last 200 outcomes of this process and stops the stage at 100 dead ones."""

    def __init__(self, stage: str, pool: Pool) -> None:
        self._stage = stage
        self._pool = pool
        self._last: deque[bool] = deque(maxlen=WINDOW)
        self._open = False
        self._ours = False  # open, by this process
        self._look_at = 0.0  # monotonic
        self._log = logger("breaker")

    def count(self, *, good: int = 0, dead: int = 0) -> None:
        """Note outcomes. What is one recipient's or one sender's fault is neither."""
        self._last.extend([False] * min(good, WINDOW))
        self._last.extend([True] * min(dead, WINDOW))

    async def check(self) -> None:
        """Raise `DependencyUnavailable` while the stage is paused. Call it before dead-lettering records."""
        if not self._open and sum(self._last) >= LIMIT:
            await self._trip()
        elif self._open or time.monotonic() >= self._look_at:
            self._look_at = time.monotonic() + LOOK_SECONDS
            await self._look()
        if self._open:
            raise DependencyUnavailable(
                "breaker", f"{LIMIT} of the last {WINDOW} records were dead: resume the stage"
            )

    async def _trip(self) -> None:
        async with transaction(self._pool) as connection:
            reason = f"{sum(self._last)} of the last {len(self._last)} records were dead"
            await SQL.pause(connection, stage=self._stage, reason=reason)
        self._open = self._ours = True
        self._log.error("breaker open", stage=self._stage, dead=sum(self._last))

    async def _look(self) -> None:
        """Learn whether the stage is paused, by whomever."""
        async with transaction(self._pool) as connection:
            if self._ours:
                paused = await SQL.keep_paused(connection, stage=self._stage)
            else:
                await SQL.resume_left(connection, stage=self._stage, seconds=ABANDONED_SECONDS)
                paused = await SQL.is_paused(connection, stage=self._stage)
        if self._open and not paused:
            self._last.clear()
            self._log.warning("breaker closed", stage=self._stage)
        self._open, self._ours = bool(paused), self._ours and bool(paused)
