"""Reads once a second, for all loops of the flusher, which work waits for them."""

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runtime.database.postgres import Pool, autocommit, load_queries

SQL: Any = load_queries(Path(__file__).with_name("pending_work.sql"))


@dataclass(frozen=True)
class PendingWork:
    """What waits in the database: the names of requested jobs, and whether there is other work.

    `rows` are requested rows of the replay queue, `replays` are running replays, and `events` are events of
    the outbox.
    """

    jobs: frozenset[str]
    rows: bool
    replays: bool
    events: bool


class PendingWorkReader:
    """Reads the pending work. Loops that read at the same time share one query, which has one round trip."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._reading: asyncio.Task[PendingWork] | None = None

    async def read(self) -> PendingWork:
        """Return the pending work. Raises `DependencyUnavailable`."""
        if self._reading is None:
            self._reading = asyncio.create_task(self._query(), name="pending work")
            self._reading.add_done_callback(self._forget)
        # Shielded: the end of one loop must not end the others' query.
        return await asyncio.shield(self._reading)

    def _forget(self, reading: "asyncio.Task[PendingWork]") -> None:
        self._reading = None
        if not reading.cancelled():
            reading.exception()  # retrieve it, in case every loop has ended

    async def _query(self) -> PendingWork:
        async with autocommit(self._pool) as connection:
            row = await SQL.read_pending_work(connection)
        return PendingWork(frozenset(row["jobs"]), row["rows"], row["replays"], row["events"])
