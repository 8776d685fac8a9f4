"""What each hop did with the canaries (contracts.canary), and a rehearsal of what is done with a lead."""

from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

import asyncpg

from runtime.database.ledger import CountedRecord, Ledger
from runtime.database.postgres import Connection, Pool, load_queries, transaction, translate_error
from runtime.failures import DependencyRefused, DependencyUnavailable

SQL: Any = load_queries(Path(__file__).with_name("canaries.sql"))


class CanaryResult(NamedTuple):
    """What one hop did with one canary. Without a `reason`, the hop works. A note is no failure."""

    canary_id: UUID
    hop: str
    reason: str = ""
    note: str = ""


class _RehearsalOverError(Exception):
    """Rolls back to the savepoint."""


async def add_results(connection: Connection, results: Sequence[CanaryResult]) -> None:
    """Write the results of hops, with the time since each canary was sent."""
    if results:
        await SQL.add_results(
            connection,
            ids=[each.canary_id for each in results],
            hops=[each.hop for each in results],
            oks=[not each.reason for each in results],
            reasons=[each.reason or each.note for each in results],
        )


async def add_failure_of_waiting(connection: Connection, hop: str, reason: str) -> None:
    """Write that a hop fails for all canaries that wait for it. A later success replaces that."""
    await SQL.add_failure_of_waiting(connection, hop=hop, reason=reason)


async def count_failed_canary(
    pool: Pool, ledger: Ledger, record: CountedRecord, result: CanaryResult
) -> None:
    """Count a canary that a stage could not handle, and write why. It never waits for a retry."""
    async with transaction(pool) as connection:
        entries = await ledger.lock(connection, [record])
        await add_results(connection, [result])
        entries.count(record, "canary")
        await ledger.save(connection, entries)


async def rehearse(connection: Connection, write: Callable[[], Awaitable[bool]]) -> str:
    """Run `write` and undo all that it wrote. Return why the database refused it, or an empty text.

    `write` returns False if it wrote nothing. Nobody ever sees what it wrote: it is rolled back to a
    savepoint of the caller's transaction, which continues. Raises the driver's error if the database is
    unavailable.
    """
    written = False
    try:
        async with connection.transaction():
            written = await write()
            raise _RehearsalOverError
    except _RehearsalOverError:
        return "" if written else "the database stored nothing"
    except asyncpg.PostgresError as error:
        failure = translate_error(error)
        if isinstance(failure, DependencyUnavailable) and not isinstance(failure, DependencyRefused):
            raise
        return failure.reason
