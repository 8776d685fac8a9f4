"""What each hop did with the canaries (contracts.canary), and a rehearsal of what is done with a lead."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, NamedTuple
from uuid import UUID

from runtime.database.ledger import CountedRecord, Ledger
from runtime.database.postgres import Connection, Pool, load_queries, transaction, transaction_within
from runtime.failures import Failure

# Less than the time after which a canary without a result counts as failed.
REHEARSAL_SECONDS: Final = 30.0
WRITE_SECONDS: Final = 10.0
SQL: Any = load_queries(Path(__file__).with_name("canaries.sql"))


class CanaryResult(NamedTuple):
    """What one hop did with one canary. Without a `reason`, the hop works. A note is no failure."""

    canary_id: UUID
    hop: str
    reason: str = ""
    note: str = ""


class _RehearsalOverError(Exception):
    """Rolls back the transaction."""


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


class CanaryResults:
    """Writes results over one connection at a time, within `WRITE_SECONDS`.

    If somebody locks the tables of canaries, the leads still have the other connections of the pool.
    """

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._turn = asyncio.Lock()

    async def write(self, *results: CanaryResult) -> None:
        """Write the results of hops. Raises the errors of `runtime.failures`."""
        async with self._turn, transaction_within(self._pool, WRITE_SECONDS) as connection:
            await add_results(connection, results)


async def count_failed_canary(
    pool: Pool, ledger: Ledger, record: CountedRecord, result: CanaryResult
) -> None:
    """Count a canary that a stage could not handle, and write why. It never waits for a retry."""
    async with transaction(pool) as connection:
        entries = await ledger.lock(connection, [record])
        entries.count(record, "canary")
        await ledger.save(connection, entries)
    with suppress(Failure):  # without a result, the canary counts as failed too
        await CanaryResults(pool).write(result)


async def rehearse(pool: Pool, write: Callable[[Connection], Awaitable[bool]]) -> str:
    """Run `write` in a transaction that is rolled back. Return why it failed, or an empty text.

    `write` returns False if it wrote nothing. Nobody ever sees what it wrote, and no lead is in this
    transaction. Constraints that are checked at a commit are checked too. Never raises a `Failure`.
    """
    written = False
    try:
        async with transaction_within(pool, REHEARSAL_SECONDS) as connection:
            written = await write(connection)
            await connection.execute("SET CONSTRAINTS ALL IMMEDIATE")
            raise _RehearsalOverError
    except _RehearsalOverError:
        return "" if written else "the database stored nothing"
    except Failure as failure:
        return failure.reason
