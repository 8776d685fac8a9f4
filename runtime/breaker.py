"""A stage's breaker: dead letters that say that the deploy is bad, not the data, stop the stage.

It never ends the process. A restart closes it, or an admin (`stage_control`), or nobody.
"""

from collections import deque
from pathlib import Path
from typing import Any, Final

from runtime.failures import WorldAway
from runtime.logs import logger
from runtime.postgres import Pool, load_queries, transaction

WINDOW: Final = 200
LIMIT: Final = 100
SQL: Any = load_queries(Path(__file__).with_name("breaker.sql"))


class Breaker:
    """Counts the last 200 outcomes of a stage and opens at 100 dead ones."""

    def __init__(self, stage: str, pool: Pool) -> None:
        self._stage = stage
        self._pool = pool
        self._last: deque[bool] = deque(maxlen=WINDOW)
        self._known = False  # what `stage_control` says has been read since our start
        self._open = False
        self._log = logger("breaker")

    def count(self, *, good: int = 0, dead: int = 0) -> None:
        """Note outcomes. What is one recipient's or one sender's fault is neither."""
        self._last.extend([False] * min(good, WINDOW))
        self._last.extend([True] * min(dead, WINDOW))

    async def check(self) -> None:
        """Pass, or raise `WorldAway` while the breaker is open. Call it before taking a batch."""
        if not self._known:
            async with transaction(self._pool) as connection:
                await SQL.resume(connection, stage=self._stage)
            self._known = True
        if not self._open and sum(self._last) >= LIMIT:
            await self._trip()
        if self._open and await self._closed_by_an_admin():
            self._open = False
            self._last.clear()
            self._log.warning("breaker closed", stage=self._stage)
        if self._open:
            raise WorldAway("breaker", f"{LIMIT} of the last {WINDOW} records were dead: resume the stage")

    async def _trip(self) -> None:
        async with transaction(self._pool) as connection:
            reason = f"{sum(self._last)} of the last {len(self._last)} records were dead"
            await SQL.pause(connection, stage=self._stage, reason=reason)
        self._open = True
        self._log.error("breaker open", stage=self._stage, dead=sum(self._last))

    async def _closed_by_an_admin(self) -> bool:
        async with transaction(self._pool) as connection:
            return not await SQL.is_paused(connection, stage=self._stage)
