"""The job that seals the audit log: it appends entries to a Merkle tree and signs the tree's checkpoints.

It runs behind the writers and takes no lock that they wait for. It refuses to sign if the log does not
continue what was signed before: a restored database, or tiles that somebody changed (docs/decisions/0071).
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, Final

from runtime import metrics
from runtime.database.postgres import Connection, Pool, load_queries, snapshot, transaction
from runtime.database.sealed_log import SealedPart, read_leaf_hashes
from runtime.failures import Failure
from runtime.logs import logger
from runtime.tasks import seconds_to_next
from runtime.transparency_log.checkpoint import Checkpoint
from runtime.transparency_log.signed_note import SigningKey
from runtime.transparency_log.tiles import TILE_WIDTH, DamagedTilesError, Position, append_leaves, tree_root
from services.flusher.jobs.audit_continuity import DAMAGED, Continuity, SealRefusedError
from services.flusher.jobs.job_runs import JobRuns
from services.flusher.jobs.scheduled_job import Report, ScheduledJob, failed_report
from services.flusher.store import Clock

JOB: Final = "audit_seal"
CRON: Final = "* * * * *"
# Entries of one transaction.
BATCH: Final = 16 * TILE_WIDTH
WATCH_SECONDS: Final = 60.0
# Writers commit within milliseconds. One that takes longer delays the seal, and nothing else.
WRITERS_SECONDS: Final = 20.0
WRITERS_POLL_SECONDS: Final = 0.05
SQL: Any = load_queries(Path(__file__).with_name("audit_seal.sql"))


def audit_seal_job(runs: JobRuns, clock: Clock, sealer: "AuditSealer") -> ScheduledJob:
    """Return the job that seals the audit log every minute.

    The report of a run contains the number of entries that the run sealed, and of all that are sealed.
    """
    return ScheduledJob(JOB, CRON, runs, clock, sealer.run)


class AuditSealer:
    """Seals the entries of `audit_log`, and signs checkpoints with each key. The keys have the same name.

    It refuses a log that does not continue what `continuity` knows.
    """

    def __init__(self, pool: Pool, keys: Sequence[SigningKey], continuity: Continuity) -> None:
        self._pool = pool
        self._keys = keys
        self._continuity = continuity
        self._lock = asyncio.Lock()

    async def run(self) -> Report:
        """Seal all entries that are committed now. Raises `Failure` if the database is unavailable."""
        return await self._unless_refused(self._seal)

    async def compare(self) -> Report:
        """Compare the database with what this process and its file know, and remember its checkpoint.

        A run does this, too. But one flusher runs the job, and another may be the one that remembers what a
        restored database lacks. Raises `Failure` if the database is unavailable.
        """
        return await self._unless_refused(self._compare)

    async def watch(self) -> None:
        """Compare every minute, until cancelled. A difference is logged once."""
        last_reason: str | None = None
        while True:
            try:
                reason = (await self.compare()).reason
                if reason and reason != last_reason:
                    logger(JOB).error("audit log is not what was signed", reason=reason)
                last_reason = reason
            except Failure:  # readiness reports the database
                pass
            except Exception as error:  # noqa: BLE001 - a bug must not end the flusher
                failed_report(JOB, error)
            await asyncio.sleep(seconds_to_next(WATCH_SECONDS))

    async def _unless_refused(self, work: Callable[[], Awaitable[Report]]) -> Report:
        async with self._lock:
            try:
                report = await work()
            except SealRefusedError as error:
                metrics.AUDIT_SEAL_REFUSED.set(1)
                return Report({}, str(error))
            metrics.AUDIT_SEAL_REFUSED.set(0)
            return report

    async def _compare(self) -> Report:
        await self._continuity.read_file()
        async with snapshot(self._pool) as connection:
            _, _, current, stored = await self._continuity.check(connection)
        if stored is not None and stored.origin == current.origin:
            self._continuity.remember(current)
            await self._continuity.write_file(current, stored.note)
        return Report({"entries": current.size})

    async def _seal(self) -> Report:
        await self._continuity.read_file()
        last_id = await self._wait_for_writers()
        if last_id is None:
            return Report({}, "a transaction that writes to audit_log has not ended")
        sealed = 0
        while True:
            async with transaction(self._pool) as connection:
                if not await SQL.try_seal_lock(connection):
                    return Report({"sealed": sealed})
                checkpoint, note, added = await self._seal_batch(connection, last_id)
            self._continuity.remember(checkpoint)
            sealed += added
            metrics.AUDIT_SEALED_ENTRIES.set(checkpoint.size)
            if added < BATCH:
                break
        await self._continuity.write_file(checkpoint, note)
        return Report({"sealed": sealed, "entries": checkpoint.size})

    async def _wait_for_writers(self) -> int | None:
        """Return an id up to which every entry is visible that will ever be. None: writers do not end.

        Ids are taken in order, but not committed in order. Whoever has taken an id below the last committed
        one holds a lock of audit_log until its commit is visible. A snapshot's xmin does not say so: a
        transaction takes an id before it gets a transaction id.
        """
        async with transaction(self._pool) as connection:
            last_id: int = await SQL.read_last_id(connection)
        writers: set[str] | None = None
        for _ in range(round(WRITERS_SECONDS / WRITERS_POLL_SECONDS)):
            async with transaction(self._pool) as connection:
                present = {row["writer"] async for row in SQL.list_writers(connection)}
            writers = present if writers is None else writers & present
            if not writers:
                return last_id
            await asyncio.sleep(WRITERS_POLL_SECONDS)
        return None

    async def _seal_batch(self, connection: Connection, last_id: int) -> tuple[Checkpoint, str, int]:
        """Seal up to `BATCH` entries. Return the checkpoint, its note, and the number of new entries."""
        part, tiles, current, stored = await self._continuity.check(connection)
        leaves = await read_leaf_hashes(connection, part.last_id, last_id, BATCH)
        if not leaves and stored is not None and stored.origin == current.origin:
            return current, stored.note, 0
        size = part.size + len(leaves)
        try:
            changed = append_leaves(tiles, part.size, [leaf_hash for _, leaf_hash in leaves])
            root = tree_root(tiles | changed, size)
        except DamagedTilesError as error:
            raise SealRefusedError(DAMAGED) from error
        if changed:
            await _store_tiles(connection, changed, part, [entry_id for entry_id, _ in leaves])
        checkpoint = Checkpoint(current.origin, size, root)
        note = checkpoint.sign(self._keys)
        await SQL.insert_checkpoint(connection, origin=checkpoint.origin, size=size, note=note)
        return checkpoint, note, len(leaves)


async def _store_tiles(
    connection: Connection, changed: dict[Position, bytes], part: SealedPart, new_ids: list[int]
) -> None:
    """Store the tiles, those of the leaves with the ids of their entries."""
    first = part.size // TILE_WIDTH
    ids = [*(part.last_ids if part.size % TILE_WIDTH else []), *new_ids]
    await SQL.store_tiles(
        connection,
        [
            {
                "level": level,
                "tile": tile,
                "hashes": hashes,
                "entry_ids": ids[(tile - first) * TILE_WIDTH :][:TILE_WIDTH] if level == 0 else [],
            }
            for (level, tile), hashes in changed.items()
        ],
    )
