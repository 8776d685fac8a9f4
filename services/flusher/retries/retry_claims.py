"""Locks the rows of `replay_queue` that are about to be sent."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime
from typing import Literal
from uuid import UUID

from runtime.database.postgres import Pool, transaction
from services.flusher.retries.claim import Claim
from services.flusher.retries.retry_rules import RetryTarget, Row, requeue
from services.flusher.store import SQL, Clock, row_of

Selection = Literal["due", "requested"]


class RetryClaims:
    """Claims (locks) due rows, requested rows and rows of a replay.

    Raises `RetryableError` and `DependencyUnavailable`.
    """

    def __init__(self, pool: Pool, clock: Clock) -> None:
        self._pool = pool
        self._clock = clock

    async def targets(self, selection: Selection) -> list[RetryTarget]:
        """Return the targets of the selected rows.

        `selection` is either all due rows or all requested rows.
        """
        async with transaction(self._pool) as connection:
            if selection == "due":
                found = SQL.list_due_targets(connection, now=self._clock())
            else:
                found = SQL.list_requested_targets(connection)
            return [RetryTarget(each["stage"], each["target"]) async for each in found]

    @asynccontextmanager
    async def claimed(self, selection: Selection, to: RetryTarget, chunk: int) -> AsyncIterator[Claim]:
        """Lock at most `chunk` selected rows for one target until the context ends."""
        now = self._clock()
        async with transaction(self._pool) as connection:
            if selection == "due":
                found = SQL.claim_due(connection, stage=to.stage, target=to.name, now=now, chunk=chunk)
            else:
                found = SQL.claim_requested(connection, stage=to.stage, target=to.name, chunk=chunk)
            yield Claim(connection, [row_of(each) async for each in found], now)

    @asynccontextmanager
    async def claimed_replay(
        self, now: datetime, *, without: Sequence[RetryTarget], sites_only: bool, at_most: int
    ) -> AsyncIterator[Claim | None]:
        """Lock a running replay and its next rows. Yields None if no replay is due at `now`.

        Locks at most `at_most` rows, and no rows for the targets in `without`. If `sites_only` is True,
        locks only rows of the stage `site`. Rows that are not locked wait for a later tick.
        """
        async with transaction(self._pool) as connection:
            replay = await SQL.claim_replay(connection, now=now)
            if replay is None:
                yield None
                return
            found = SQL.claim_replay_rows(
                connection,
                replay_id=replay["id"],
                chunk=min(replay["per_second"], at_most),
                without=[f"{each.stage} {each.name}" for each in without],
                sites_only=sites_only,
            )
            rows, skipped = list[Row](), list[UUID]()
            async for each in found:
                row = requeue(row_of(each), replay["requested_by"], replay["comment"], now)
                if row:
                    rows.append(row)
                else:
                    skipped.append(each["id"])
            yield Claim(connection, rows, now, replay["id"], skipped)

    async def postpone(self, claim: Claim) -> None:
        """Move the rows of a claim to the end of the queue, because their results could not be recorded."""
        async with transaction(self._pool) as connection:
            await replace(claim, connection=connection, skipped=()).move_to_end(row.id for row in claim.rows)
