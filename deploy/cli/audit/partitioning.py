"""Puts the audit log into partitions by id, while the services run (docs/decisions/0065).

The existing table becomes the first partition, so nothing is copied but the event ids. Each step can be
repeated: an interrupted run continues where it ended.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

import asyncpg

from runtime.database.postgres import load_queries

SQL: Any = load_queries(Path(__file__).with_name("partitioning.sql"))
# The same number is in `create_audit_partitions` (migration 0049).
RANGE_ENTRIES: Final = 10_000_000
# New entries between the check and the swap, a minute at most, must stay below the first range's end.
MARGIN_ENTRIES: Final = 1_000_000
# A larger log ends its first partition at once: its indexes are what makes inserts slow.
SMALL_ENTRIES: Final = 1_000_000
COPIED_IDS: Final = 100_000
# Writers queue behind an attempt to lock the log. A transaction that holds it for longer, such as a dump's,
# may end first.
LOCK_TIMEOUT: Final = "900ms"
RETRY_SECONDS: Final = 1.0
BUSY_SECONDS: Final = 120.0
Say = Callable[[str], None]


async def is_partitioned(connection: Any) -> bool:
    """Return True if the audit log is in partitions. Raises the errors of asyncpg."""
    return bool(await SQL.is_partitioned(connection))


async def partition_log(connection: Any, say: Say = lambda _: None) -> bool:
    """Put the audit log into partitions and return True. Return False if it is in partitions already.

    `connection` is the owner's. `say` is called with a line before each step. Services of a version before
    migration 0049 cannot insert entries afterwards. Raises `RuntimeError` if the log stays locked, or if an
    event id is not recorded, and the errors of asyncpg; the log is one table then, as before.
    """
    if await is_partitioned(connection):
        return False
    say("recording the event ids of new entries")
    await _locked(connection, lambda: SQL.record_new_ids(connection))
    last_id: int = await SQL.last_id(connection)
    await _copy_ids(connection, last_id, say)
    first_end = -(-(last_id + MARGIN_ENTRIES) // RANGE_ENTRIES) * RANGE_ENTRIES
    next_id = first_end if last_id >= SMALL_ENTRIES else 1
    try:
        say(f"checking that every id is below {first_end:,}")
        await _locked(connection, lambda: _add_check(connection, first_end))
        await SQL.validate_check(connection)
        say("exchanging the tables")
        await _locked(connection, lambda: _swap(connection, first_end, next_id))
    except BaseException:
        # A check that stayed would refuse entries one day.
        if not connection.is_closed() and await SQL.has_check(connection):
            await _locked(connection, lambda: SQL.drop_check(connection))
        raise
    return True


async def _copy_ids(connection: Any, last_id: int, say: Say) -> None:
    """Record the event ids of the entries until now. Raises `RuntimeError` if one is not recorded then."""
    for after in range(0, last_id, COPIED_IDS):
        if after % (10 * COPIED_IDS) == 0:
            say(f"copying event ids: {after:,} of {last_id:,}")
        await SQL.copy_ids(connection, after=after, last=min(after + COPIED_IDS, last_id))
    if unrecorded := await SQL.count_unrecorded(connection):
        raise RuntimeError(f"the event ids of {unrecorded} entries are not recorded: run this again")


async def _add_check(connection: Any, first_end: int) -> None:
    await SQL.drop_check(connection)
    await connection.execute(
        "ALTER TABLE public.audit_log"
        f" ADD CONSTRAINT audit_log_first_range CHECK (id < {first_end}) NOT VALID"
    )


async def _swap(connection: Any, first_end: int, next_id: int) -> None:
    await SQL.lock_log(connection)
    if not await is_partitioned(connection):  # a second process may have been faster
        await SQL.set_ranges(connection, first_end=str(first_end), next_id=str(next_id))
        await SQL.swap_tables(connection)


async def _locked(connection: Any, change: Callable[[], Awaitable[Any]]) -> None:
    """Run a change that locks the log in a transaction. Try again while the lock is not available.

    Raises `RuntimeError` after `BUSY_SECONDS`.
    """
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            async with connection.transaction():
                await connection.execute(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'")
                await change()
                return
        except (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError):
            if time.monotonic() > deadline:
                msg = "a transaction (a dump?) locks the audit log; run this again later"
                raise RuntimeError(msg) from None
            await asyncio.sleep(RETRY_SECONDS)
