"""The database: committed rows, transactions with row locks, and the faults that a schedule causes.

Transactions are as in PostgreSQL's READ COMMITTED: a statement sees what is committed and its own writes, and
a row that another transaction has locked makes it wait. Rows are never changed in place.
"""

import asyncio
import itertools
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

import asyncpg

Row = dict[str, Any]
Key = tuple[Hashable, ...]
Table = dict[Key, Row]
DELETED: Final[Row] = {}


def clock() -> datetime:
    """Return the time now, as PostgreSQL's clock_timestamp() does."""
    return datetime.fromtimestamp(time.time(), UTC)


class _Wait(NamedTuple):
    """A transaction that waits for a lock."""

    key: Key
    transaction: "Transaction"
    free: asyncio.Future[None]
    shared: bool


@dataclass
class Database:
    """The server. `up`, `hangs` and `slow_factor` say what clients meet.

    `lose_next_reply` breaks the reply to one commit.
    """

    tables: dict[str, Table] = field(default_factory=dict)
    up: bool = True
    hangs: bool = False
    slow_factor: float = 1.0
    lose_next_reply: bool = False
    # Whether a row with this key is refused, as by a trigger (SQLSTATE P0001).
    refuses: Callable[[str], bool] = lambda _: False
    commits: int = 0
    # For which record a process sends a mail. Only the checks of the tests read it, no query of the product.
    attempts: dict[tuple[Any, ...], Any] = field(default_factory=dict)
    on_commit: Callable[[dict[str, Table]], None] = lambda _: None
    _snapshot: dict[str, Table] | None = None
    _transactions: list["Transaction"] = field(default_factory=list)
    _locks: dict[Key, dict["Transaction", bool]] = field(default_factory=dict)  # whether each is shared
    _waiting: list["_Wait"] = field(default_factory=list)
    _sequence: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))

    def begin(self) -> "Transaction":
        """Begin a transaction."""
        transaction = Transaction(self)
        self._transactions.append(transaction)
        return transaction

    def table(self, name: str) -> Table:
        """Return the committed rows of a table, by their keys. Do not change them."""
        return self.tables.setdefault(name, {})

    def rows(self, name: str) -> list[Row]:
        """Return the committed rows of a table."""
        return list(self.table(name).values())

    def next_number(self) -> int:
        """Return the next number of the sequence. A transaction that fails does not give it back."""
        return next(self._sequence)

    # --- faults ----------------------------------------------------------------------------------------

    def stop(self) -> None:
        """Stop the server: open transactions are rolled back."""
        self.up = False
        for transaction in list(self._transactions):
            transaction.end()

    def start(self) -> None:
        """Start the server again."""
        self.up = True

    def remember(self) -> None:
        """Remember the committed rows, as an asynchronous standby has them."""
        self._snapshot = {name: dict(table) for name, table in self.tables.items()}

    def fail_over(self) -> None:
        """Continue with the rows that were remembered: later commits are lost."""
        for transaction in list(self._transactions):
            transaction.end()
        if self._snapshot is not None:
            self.tables = self._snapshot
            self._snapshot = None

    # --- locks -----------------------------------------------------------------------------------------

    async def answering(self) -> None:
        """Wait until the server answers."""
        while not self.up or self.hangs:  # noqa: ASYNC110 - the faults set no event
            await asyncio.sleep(0.5)

    async def lock(self, transaction: "Transaction", key: Key, *, shared: bool = False) -> None:
        """Wait until the transaction has the lock. Raises `DeadlockDetectedError` if it never would."""
        while blockers := self._blockers(transaction, key, shared=shared):
            if any(self._waits_for(each, transaction) for each in blockers):
                raise asyncpg.DeadlockDetectedError("deadlock detected")
            free: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            entry = _Wait(key, transaction, free, shared)
            self._waiting.append(entry)
            try:
                await free
            finally:
                if entry in self._waiting:
                    self._waiting.remove(entry)
        holders = self._locks.setdefault(key, {})
        holders[transaction] = shared and holders.get(transaction, True)

    def is_locked(self, transaction: "Transaction", key: Key, *, shared: bool = False) -> bool:
        """Return True if the transaction would have to wait for the lock."""
        return bool(self._blockers(transaction, key, shared=shared))

    def _blockers(self, transaction: "Transaction", key: Key, *, shared: bool) -> list["Transaction"]:
        holders = self._locks.get(key, {})
        return [
            each
            for each, is_shared in holders.items()
            if each is not transaction and not (shared and is_shared)
        ]

    def _waits_for(self, waiting: "Transaction", holder: "Transaction") -> bool:
        blockers = [
            blocker
            for wait in self._waiting
            if wait.transaction is waiting
            for blocker in self._blockers(waiting, wait.key, shared=wait.shared)
        ]
        return any(each is holder or self._waits_for(each, holder) for each in blockers)

    def release(self, transaction: "Transaction") -> None:
        """Release all locks of a transaction that has ended."""
        if transaction in self._transactions:
            self._transactions.remove(transaction)
        self._waiting = [each for each in self._waiting if each.transaction is not transaction]
        freed = {key for key, holders in self._locks.items() if transaction in holders}
        for key in freed:
            del self._locks[key][transaction]
            if not self._locks[key]:
                del self._locks[key]
        for wait in self._waiting:
            if wait.key in freed and not wait.free.done():
                wait.free.set_result(None)


class Transaction:
    """A transaction: its writes are seen by others after `commit`.

    After a statement that failed, it is `failed`: it answers nothing more, and commits nothing.
    """

    def __init__(self, database: Database) -> None:
        self.database = database
        self.active = True
        self.failed = False
        self.now = clock()  # as PostgreSQL's now(): the same in all statements
        self._writes: dict[str, Table] = {}

    def get(self, table: str, key: Key) -> Row | None:
        """Return a row as this transaction sees it."""
        rows = self._writes.get(table, {})
        row = rows[key] if key in rows else self.database.table(table).get(key)
        return row if row is not DELETED else None

    def find(self, table: str, matches: Callable[[Row], bool]) -> list[Row]:
        """Return the rows that match, as this transaction sees them."""
        rows = self.database.table(table) | self._writes.get(table, {})
        return [row for row in rows.values() if row is not DELETED and matches(row)]

    async def lock(self, table: str, key: Key, *, shared: bool = False) -> None:
        """Lock a row, or the place of a row that does not exist yet."""
        await self.database.lock(self, (table, *key), shared=shared)

    def is_locked(self, table: str, key: Key, *, shared: bool = False) -> bool:
        """Return True if another transaction has the lock of a row."""
        return self.database.is_locked(self, (table, *key), shared=shared)

    @property
    def has_written(self) -> bool:
        """Return True if a commit changes a row."""
        return bool(self._writes)

    def put(self, table: str, key: Key, row: Row) -> None:
        """Insert or replace a row. Lock it first."""
        self._writes.setdefault(table, {})[key] = row

    def delete(self, table: str, key: Key) -> None:
        """Delete a row. Lock it first."""
        self._writes.setdefault(table, {})[key] = DELETED

    def commit(self) -> None:
        """Make the writes visible, and end the transaction."""
        for name, table in self._writes.items():
            rows = self.database.table(name)
            rows.update(table)
            for key in [each for each, row in table.items() if row is DELETED]:
                del rows[key]
        self.database.commits += 1
        self.database.on_commit(self._writes)
        self.end()

    def end(self) -> None:
        """End the transaction; what was not committed is lost."""
        self.active = False
        self._writes = {}
        self.database.release(self)
