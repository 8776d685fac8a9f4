"""The queries of the ledger (`runtime/database/ledger.sql`)."""

from pathlib import Path
from typing import Any, Final

import asyncpg

import runtime.database.ledger as product
from tests.schedules.database.pool import Query
from tests.schedules.database.server import Key, Row, Transaction

TABLE: Final = "partition_ledger"
OUTCOMES: Final = ("stored", "duplicate", "parked", "undecodable", "missing")
PATH: Final = Path(product.__file__).with_name("ledger.sql")


def newest(transaction: Transaction, stage: str, partitions: list[tuple[str, int]]) -> list[Row]:
    """Return the newest entry of each partition that has one, in a fixed order."""
    found = list[Row]()
    for topic, number in sorted(set(partitions)):
        at = (stage, topic, number)
        rows = transaction.find(TABLE, lambda row, at=at: _place(row) == at)  # type: ignore[misc]
        found += sorted(rows, key=lambda row: row["epoch"])[-1:]
    return found


def _place(row: Row) -> Key:
    return row["stage"], row["topic"], row["partition"]


def key_of(row: Row) -> Key:
    """Return the primary key of an entry."""
    return row["stage"], row["topic"], row["partition"], row["epoch"]


def balanced(row: Row) -> Row:
    """Return the entry. Raises `CheckViolationError` if it does not balance."""
    if row["next_offset"] - row["base_offset"] != sum(row[name] for name in OUTCOMES):
        raise asyncpg.CheckViolationError("books_balance")
    return row


async def lock_newest(transaction: Transaction, stage: str, partitions: list[tuple[str, int]]) -> list[Row]:
    """Lock the newest entry of each partition, and return them as they are then."""
    for row in newest(transaction, stage, partitions):
        await transaction.lock(TABLE, key_of(row))
    return newest(transaction, stage, partitions)


async def _read_entries(transaction: Transaction, p: Any) -> list[Row]:
    return newest(transaction, p.stage, list(zip(p.topics, p.partitions, strict=True)))


async def _lock_entries(transaction: Transaction, p: Any) -> list[Row]:
    return await lock_newest(transaction, p.stage, list(zip(p.topics, p.partitions, strict=True)))


async def _open_epoch(transaction: Transaction, p: Any) -> list[Row]:
    key = (p.stage, p.topic, p.partition, p.epoch)
    await transaction.lock(TABLE, key)
    if transaction.get(TABLE, key) is None:
        row = dict.fromkeys(OUTCOMES, 0) | {
            "stage": p.stage,
            "topic": p.topic,
            "partition": p.partition,
            "epoch": p.epoch,
            "base_offset": p.base_offset,
            "next_offset": p.base_offset,
            "last_record": None,
        }
        transaction.put(TABLE, key, row)
    return []


async def _count_expired(transaction: Transaction, p: Any) -> list[Row]:
    key = (p.stage, p.topic, p.partition, p.epoch)
    await transaction.lock(TABLE, key)
    row = transaction.get(TABLE, key)
    if row and row["next_offset"] == p.next_offset:
        missing = row["missing"] + p.start - p.next_offset
        changed = row | {"missing": missing, "next_offset": p.start, "last_record": None}
        transaction.put(TABLE, key, balanced(changed))
    return []


async def _save_entries(transaction: Transaction, p: Any) -> list[Row]:
    columns = (p.topics, p.partitions, p.epochs, p.next_offsets, p.last_records)
    counts = zip(p.stored, p.duplicate, p.parked, p.undecodable, p.missing, strict=True)
    for topic, number, epoch, next_offset, last_record, numbers in zip(*columns, counts, strict=True):
        key = (p.stage, topic, number, epoch)
        await transaction.lock(TABLE, key)
        row = transaction.get(TABLE, key)
        if row is None:
            continue
        sums = {name: row[name] + count for name, count in zip(OUTCOMES, numbers, strict=True)}
        changed = row | sums | {"next_offset": next_offset, "last_record": last_record}
        transaction.put(TABLE, key, balanced(changed))
    return []


QUERIES: Final[dict[str, Query]] = {
    "read_entries": _read_entries,
    "lock_entries": _lock_entries,
    "open_epoch": _open_epoch,
    "count_expired": _count_expired,
    "save_entries": _save_entries,
}
