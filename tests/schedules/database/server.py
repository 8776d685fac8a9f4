"""The database: committed rows, transactions with row locks, and the faults that a schedule causes.

Transactions are as in PostgreSQL's READ COMMITTED: a statement sees what is committed and its own writes, and
a row that another transaction has locked makes it wait. Rows are never changed in place.
"""

import asyncio
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Any, Final

import asyncpg

Row = dict[str, Any]
Key = tuple[Hashable, ...]
Table = dict[Key, Row]
DELETED: Final[Row] = {}


@dataclass
class Database:
    """The server. `up` and `hangs` say what clients meet; `lose_next_reply` breaks one commit's reply."""

    tables: dict[str, Table] = field(default_factory=dict)
    up: bool = True
    hangs: bool = False
    lose_next_reply: bool = False
    # Whether a row with this key is refused, as by a trigger (SQLSTATE P0001).
    refuses: Callable[[str], bool] = lambda _: False
    commits: int = 0
    # For which record a process sends a mail. Only the checks of the tests read it, no query of the product.
    attempts: dict[tuple[Any, ...], Any] = field(default_factory=dict)
    on_commit: Callable[[dict[str, Table]], None] = lambda _: None
    _snapshot: dict[str, Table] | None = None
    _transactions: list["Transaction"] = field(default_factory=list)
    _locks: dict[Key, "Transaction"] = field(default_factory=dict)
    _waiting: list[tuple[Key, "Transaction", asyncio.Future[None]]] = field(default_factory=list)

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

    async def lock(self, transaction: "Transaction", key: Key) -> None:
        """Wait until the transaction has the lock. Raises `DeadlockDetectedError` if it never would."""
        while (holder := self._locks.get(key)) is not None and holder is not transaction:
            if self._waits_for(holder, transaction):
                raise asyncpg.DeadlockDetectedError("deadlock detected")
            free: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            entry = (key, transaction, free)
            self._waiting.append(entry)
            try:
                await free
            finally:
                if entry in self._waiting:
                    self._waiting.remove(entry)
        self._locks[key] = transaction

    def _waits_for(self, waiting: "Transaction", holder: "Transaction") -> bool:
        keys = [key for key, each, _ in self._waiting if each is waiting]
        owners = [self._locks.get(key) for key in keys]
        return any(each is holder or (each is not None and self._waits_for(each, holder)) for each in owners)

    def release(self, transaction: "Transaction") -> None:
        """Release all locks of a transaction that has ended."""
        if transaction in self._transactions:
            self._transactions.remove(transaction)
        self._waiting = [each for each in self._waiting if each[1] is not transaction]
        freed = {key for key, each in self._locks.items() if each is transaction}
        for key in freed:
            del self._locks[key]
        for key, _, free in self._waiting:
            if key in freed and not free.done():
                free.set_result(None)


class Transaction:
    """A transaction: its writes are seen by others after `commit`."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.active = True
        self._writes: dict[str, Table] = {}

    def get(self, table: str, key: Key) -> Row | None:
        """Return a row as this transaction sees it."""
        row = self._writes.get(table, {}).get(key) or self.database.table(table).get(key)
        return row if row is not DELETED else None

    def find(self, table: str, matches: Callable[[Row], bool]) -> list[Row]:
        """Return the rows that match, as this transaction sees them."""
        rows = self.database.table(table) | self._writes.get(table, {})
        return [row for row in rows.values() if row is not DELETED and matches(row)]

    async def lock(self, table: str, key: Key) -> None:
        """Lock a row, or the place of a row that does not exist yet."""
        await self.database.lock(self, (table, *key))

    @property
    def has_written(self) -> bool:
        """Return True if a commit changes a row."""
        return bool(self._writes)

    def put(self, table: str, key: Key, row: Row) -> None:
        """Insert or replace a row. Lock it first."""
        self._writes.setdefault(table, {})[key] = row

    def commit(self) -> None:
        """Make the writes visible, and end the transaction."""
        for name, table in self._writes.items():
            self.database.table(name).update(table)
        self.database.commits += 1
        self.database.on_commit(self._writes)
        self.end()

    def end(self) -> None:
        """End the transaction; what was not committed is lost."""
        self.active = False
        self._writes = {}
        self.database.release(self)
