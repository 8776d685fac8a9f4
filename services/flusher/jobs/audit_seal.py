"""The job that seals the audit log: it appends entries to a Merkle tree and signs the tree's checkpoints.

It runs behind the writers and takes no lock that they wait for. It refuses to sign if the log does not
continue what was signed before: a restored database, or tiles that somebody changed (docs/decisions/0071).
"""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from runtime import metrics
from runtime.database.postgres import Connection, Pool, load_queries, transaction
from runtime.database.sealed_log import (
    SealedPart,
    StoredCheckpoint,
    read_last_checkpoint,
    read_leaves,
    read_sealed_part,
    read_tiles,
)
from runtime.transparency_log.checkpoint import Checkpoint, open_checkpoint
from runtime.transparency_log.merkle_tree import EMPTY_ROOT, hash_leaf, root_of
from runtime.transparency_log.signed_note import NoteError, SigningKey
from runtime.transparency_log.tiles import (
    TILE_WIDTH,
    DamagedTilesError,
    Position,
    TileTree,
    append_leaves,
    last_tiles,
    tree_root,
)
from services.flusher.jobs.audit_checkpoint_file import CheckpointFile, CheckpointFileError
from services.flusher.jobs.job_runs import JobRuns
from services.flusher.jobs.scheduled_job import Report, ScheduledJob
from services.flusher.store import Clock

JOB: Final = "audit_seal"
CRON: Final = "* * * * *"
# Entries of one transaction. Hashing them takes some 30 ms, for which the event loop waits.
BATCH: Final = 16 * TILE_WIDTH
# Writers commit within milliseconds. One that takes longer delays the seal, and nothing else.
WRITERS_SECONDS: Final = 20.0
WRITERS_POLL_SECONDS: Final = 0.05
SQL: Any = load_queries(Path(__file__).with_name("audit_seal.sql"))


class SealRefusedError(Exception):
    """The log does not continue what was signed before. Its text is our own, without data of entries."""


def audit_seal_job(runs: JobRuns, clock: Clock, sealer: "AuditSealer") -> ScheduledJob:
    """Return the job that seals the audit log every minute.

    The report of a run contains the number of entries that the run sealed, and of all that are sealed.
    """
    return ScheduledJob(JOB, CRON, runs, clock, sealer.run)


class AuditSealer:
    """Seals the entries of `audit_log`, and signs checkpoints with each key. The keys have the same name."""

    def __init__(self, pool: Pool, keys: Sequence[SigningKey], file: CheckpointFile | None = None) -> None:
        self._pool = pool
        self._keys = keys
        self._origin = keys[0].name
        self._public_keys = [key.verification_key() for key in keys]
        self._file = file
        # What this process has signed or seen: a database restored to an earlier state does not have it.
        self._seen: Checkpoint | None = None

    async def run(self) -> Report:
        """Seal all entries that are committed now. Raises `Failure` if the database is unavailable."""
        try:
            report = await self._seal()
        except SealRefusedError as error:
            metrics.AUDIT_SEAL_REFUSED.set(1)
            return Report({}, str(error))
        metrics.AUDIT_SEAL_REFUSED.set(0)
        return report

    async def _seal(self) -> Report:
        published = await self._read_file()
        last_id = await self._wait_for_writers()
        if last_id is None:
            return Report({}, "a transaction that writes to audit_log has not ended")
        sealed = 0
        while True:
            async with transaction(self._pool) as connection:
                if not await SQL.try_seal_lock(connection):
                    return Report({"sealed": sealed})
                checkpoint, note, added = await self._seal_batch(connection, last_id, published)
            self._seen, sealed = checkpoint, sealed + added
            metrics.AUDIT_SEALED_ENTRIES.set(checkpoint.size)
            if added < BATCH:
                break
        if note is not None:
            await self._write_file(note)
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

    async def _seal_batch(
        self, connection: Connection, last_id: int, published: Checkpoint | None
    ) -> tuple[Checkpoint, str | None, int]:
        """Seal up to `BATCH` entries. Return the checkpoint, its note, and the number of new entries."""
        part, stored = await read_sealed_part(connection), await read_last_checkpoint(connection)
        tiles = await read_tiles(connection, last_tiles(part.size))
        current = self._check_stored(part, tiles, stored)
        for earlier in (self._seen, published):
            await self._check_continues(connection, part.size, earlier)
        leaves = await read_leaves(connection, part.last_id, last_id, BATCH)
        if not leaves and stored is not None and stored.origin == self._origin:
            return current, stored.note, 0
        changed = append_leaves(tiles, part.size, [hash_leaf(leaf) for _, leaf in leaves])
        if changed:
            await _store_tiles(connection, changed, part, [entry for entry, _ in leaves])
        size = part.size + len(leaves)
        checkpoint = Checkpoint(self._origin, size, tree_root(tiles | changed, size))
        note = checkpoint.sign(self._keys)
        await SQL.insert_checkpoint(connection, origin=self._origin, size=size, note=note)
        return checkpoint, note, len(leaves)

    def _check_stored(
        self, part: SealedPart, tiles: dict[Position, bytes], stored: StoredCheckpoint | None
    ) -> Checkpoint:
        """Return the checkpoint of the stored tree. Raises `SealRefusedError` if the last one is another."""
        try:
            root = tree_root(tiles, part.size)
        except DamagedTilesError as error:
            raise SealRefusedError("the tiles in the database are damaged") from error
        current = Checkpoint(self._origin, part.size, root)
        if stored is None:
            if part.size:
                raise SealRefusedError("the database has tiles, but no checkpoint of them")
        elif stored.origin == self._origin:
            try:
                signed = open_checkpoint(stored.note, self._public_keys)
            except NoteError as error:
                raise SealRefusedError(
                    "no key has signed the last checkpoint: add the key that did, until the next checkpoint"
                ) from error
            if signed != current:
                raise SealRefusedError("the tiles in the database are not those of the last checkpoint")
        return current

    async def _check_continues(self, connection: Connection, size: int, earlier: Checkpoint | None) -> None:
        """Raise `SealRefusedError` if the stored tree does not begin with that of an earlier checkpoint."""
        if earlier is None:
            return
        if earlier.size > size:
            raise SealRefusedError(
                f"fork: {earlier.size} entries were signed, and the database has {size}. It was restored"
            )
        tiles = await read_tiles(connection, last_tiles(earlier.size))
        try:
            root = root_of(TileTree(tiles.get), earlier.size) if earlier.size else EMPTY_ROOT
        except DamagedTilesError as error:
            raise SealRefusedError("the tiles in the database are damaged") from error
        if root != earlier.root:
            raise SealRefusedError(f"fork: the first {earlier.size} entries are not those that were signed")

    async def _read_file(self) -> Checkpoint | None:
        if self._file is None:
            return None
        try:
            note = await self._file.read()
            return None if note is None else open_checkpoint(note, self._public_keys)
        except NoteError as error:
            raise SealRefusedError(
                "none of the keys has signed the checkpoint in FASTCORE_AUDIT_CHECKPOINT_FILE"
            ) from error
        except CheckpointFileError as error:
            raise SealRefusedError(str(error)) from error

    async def _write_file(self, note: str) -> None:
        if self._file is not None:
            try:
                await self._file.write(note)
            except CheckpointFileError as error:
                raise SealRefusedError(str(error)) from error


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
