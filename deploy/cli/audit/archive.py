"""Moves the oldest partition of the audit log to a file (docs/audit-log.md).

The order is export, detach, verify, drop: until the file is known to have every entry, the entries stay in
the database.
"""

import gzip
import hashlib
import json
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from deploy.cli.audit.archive_file import read_archives
from deploy.cli.audit.partitioning import Say, is_partitioned
from deploy.cli.audit.seal_comparison import compare_with_seal, refuse_unsealed
from runtime.database.postgres import load_queries

SQL: Any = load_queries(Path(__file__).with_name("archive.sql"))
# Rows that the server sends at a time.
PREFETCH: Final = 5000
# DETACH waits for the transactions that use the log. If it is cancelled, the next run continues.
DETACH_TIMEOUT: Final = "5min"


@dataclass(frozen=True)
class Candidate:
    """The table to archive. `is_detached` after an interrupted run; `bytes` includes its indexes."""

    name: str
    bytes: int | None = None
    is_detached: bool = False
    is_pending: bool = False


@dataclass
class Contents:
    """What a file or a table has: the number of its entries, and the SHA-256 of their lines."""

    entries: int = 0
    first: dict[str, Any] = field(default_factory=dict)
    last: dict[str, Any] = field(default_factory=dict)
    first_at: datetime | None = None
    last_at: datetime | None = None
    sha256: str = ""


async def find_candidate(connection: Any) -> Candidate | None:
    """Return the oldest partition if it is complete, or what an interrupted run left. None: there is neither.

    `connection` is the owner's. Raises the errors of asyncpg.
    """
    if not await is_partitioned(connection):
        return None
    async for row in SQL.list_detached(connection):
        return Candidate(row["name"], is_detached=True, is_pending=row["is_pending"])
    async for row in SQL.list_partitions(connection):
        return Candidate(row["name"], row["bytes"]) if row["is_complete"] else None
    return None


async def archive(connection: Any, candidate: Candidate, folder: Path, say: Say) -> Path:
    """Export the candidate to the folder, detach, verify and drop it. Returns the path of the file.

    Raises `RuntimeError` if the log is sealed and the candidate is not as it was sealed, or not yet, and if
    the file differs from the table, perhaps because a transaction was open during the export. The table stays
    then. Also raises `OSError` and the errors of asyncpg.
    """
    name, path = candidate.name, folder / f"{candidate.name}.jsonl.gz"
    await refuse_unsealed(connection, name)
    if path.exists():
        say(f"reading {path}, which exists")
        exported = _read(path)
    else:
        say(f"exporting {name} to {path}")
        exported = await _export(connection, name, path)
    if not candidate.is_detached:
        say("detaching: waiting for the transactions that use the log")
        await connection.execute(f"SET statement_timeout = '{DETACH_TIMEOUT}'")
        await connection.execute(
            f'ALTER TABLE public.audit_log DETACH PARTITION public."{name}" CONCURRENTLY'
        )
        await connection.execute("RESET statement_timeout")
    elif candidate.is_pending:
        await connection.execute(f'ALTER TABLE public.audit_log DETACH PARTITION public."{name}" FINALIZE')
    say("verifying: the file, then the table")
    stored = await _read_table(connection, name)
    if not exported.sha256 == _read(path).sha256 == stored.sha256:
        raise RuntimeError(
            f"{path} and the table {name} differ: move the file away and run this again."
            " The table is detached, with all its entries"
        )
    async with connection.transaction():
        if stored.entries:
            await SQL.add_archive(
                connection,
                name=name,
                first_id=stored.first["id"],
                last_id=stored.last["id"],
                entries=stored.entries,
                first_at=stored.first_at,
                last_at=stored.last_at,
                sha256=stored.sha256,
            )
        await connection.execute(f'DROP TABLE public."{name}"')
    return path


async def _lines(connection: Any, name: str) -> AsyncIterator[str]:
    """Yield each entry by id, byte by byte as it is sealed: see `read_leaves` in sealed_log.sql.

    Raises `RuntimeError` if the log is sealed and the table does not have what was sealed.
    """
    query = (
        "SELECT row_to_json(entry)::text FROM (SELECT id, event_id, event, actor, status_code, details_json,"
        " lead_id, request_id, created_at_utc AT TIME ZONE 'UTC' AS created_at_utc"
        f' FROM public."{name}" ORDER BY id) AS entry ORDER BY id'
    )

    async def read() -> AsyncIterator[str]:
        async for row in connection.cursor(query, prefetch=PREFETCH):
            yield row[0]

    async with connection.transaction(isolation="repeatable_read", readonly=True):
        async for line in compare_with_seal(connection, name, read()):
            yield line


class _Summary:
    """Adds up lines to `Contents`."""

    def __init__(self) -> None:
        self.contents = Contents()
        self._hash = hashlib.sha256()
        self._first = self._last = ""

    def add(self, line: str) -> bytes:
        data = line.encode() + b"\n"
        self._hash.update(data)
        self.contents.entries += 1
        self._first = self._first or line
        self._last = line
        return data

    def end(self) -> Contents:
        found = self.contents
        found.sha256 = self._hash.hexdigest()
        if self._first:
            found.first, found.last = json.loads(self._first), json.loads(self._last)
        return found


async def _export(connection: Any, name: str, path: Path) -> Contents:
    """Write the file and its checksum, which `sha256sum --check` reads. The file appears when complete."""
    summary, part = _Summary(), path.with_suffix(".part")
    try:
        with part.open("wb") as raw:
            with gzip.GzipFile(filename="", fileobj=raw, mode="wb", mtime=0) as file:
                async for line in _lines(connection, name):
                    file.write(summary.add(line))
            raw.flush()
            os.fsync(raw.fileno())
    except RuntimeError:  # the table is not what was sealed
        part.unlink()
        raise
    with part.open("rb") as raw:
        digest = hashlib.file_digest(raw, "sha256").hexdigest()
    checksum = path.with_name(f"{path.name}.sha256")
    with checksum.open("w", encoding="utf-8") as file_of_checksum:
        file_of_checksum.write(f"{digest}  {path.name}\n")
        file_of_checksum.flush()
        os.fsync(file_of_checksum.fileno())
    part.rename(path)
    descriptor = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    return summary.end()


def _read(path: Path) -> Contents:
    """Read a file back. Raises `RuntimeError` if its checksum is missing or wrong."""
    with path.open("rb") as raw:
        digest = hashlib.file_digest(raw, "sha256").hexdigest()
    checksum = path.with_name(f"{path.name}.sha256")
    if not checksum.exists() or checksum.read_text(encoding="utf-8").split()[:1] != [digest]:
        raise RuntimeError(f"{path} does not match {checksum.name}: move both away and run this again")
    summary = _Summary()
    for line in read_archives([path]):
        summary.add(line.decode())
    return summary.end()


async def _read_table(connection: Any, name: str) -> Contents:
    summary = _Summary()
    async for line in _lines(connection, name):
        summary.add(line)
    found = summary.end()
    times = await connection.fetchrow(
        f'SELECT min(created_at_utc) AS first_at, max(created_at_utc) AS last_at FROM public."{name}"'
    )
    found.first_at, found.last_at = times["first_at"], times["last_at"]
    return found
