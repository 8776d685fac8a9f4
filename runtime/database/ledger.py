"""The books of one stage: what became of each record of each partition, counted exactly once.

Ids decide what is written, offsets only what is counted: a record below `next_offset` was counted
before, whoever handled it then, so zombies, rebalances and redeliveries cannot count twice.
"""

import zlib
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from runtime.database.postgres import Connection, load_queries
from runtime.failures import RewindRequired

Outcome = Literal["stored", "duplicate", "parked", "undecodable"]
_COUNTED: tuple[Outcome, ...] = ("stored", "duplicate", "parked", "undecodable")


class Record(Protocol):
    """What the books need of a record."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None


def fingerprint(record: Record) -> str:
    """Return what tells a record from another one at the same offset: its time, and a checksum of its key."""
    return f"{record.timestamp}/{zlib.crc32(record.key or b''):08x}"


@dataclass
class LedgerEntry:
    """One partition's page while a batch is in hand. `last_record` is that at `next_offset` - 1."""

    epoch: int
    next_offset: int
    last_record: str | None = None
    last_offset: int = -1
    outcomes: Counter[Outcome] = field(default_factory=Counter)

    def count(self, offset: int, outcome: Outcome, last_record: str | None = None) -> None:
        """Count a record, unless it was counted before."""
        if offset >= self.next_offset and offset > self.last_offset:
            self.outcomes[outcome] += 1
            self.last_offset, self.last_record = offset, last_record

    @property
    def following(self) -> int:
        """Return the offset after the last one counted."""
        return max(self.next_offset, self.last_offset + 1)

    @property
    def missing(self) -> int:
        """Return how many offsets were passed without a record: Kafka no longer holds them."""
        return self.following - self.next_offset - self.outcomes.total()


class LedgerEntries(dict[tuple[str, int], LedgerEntry]):
    """The pages of a batch. Count records in the order of their offsets."""

    def count(self, record: Record, outcome: Outcome) -> None:
        """Count one record's outcome on its partition's page."""
        self[record.topic, record.partition].count(record.offset, outcome, fingerprint(record))


class Ledger:
    """Locks, counts and saves within the caller's transaction.

    Records that do not continue the ledger (it was rolled back with its database, or the log is another
    one) are refused with `RewindRequired`: `runtime.kafka.reconcile` decides what is done.
    """

    def __init__(self, stage: str) -> None:
        self.stage = stage
        self._tried: dict[tuple[str, int], int] = {}
        self._sql: Any = load_queries(Path(__file__).with_name("ledger.sql"))

    async def lock(self, connection: Connection, records: Sequence[Record]) -> LedgerEntries:
        """Lock the pages of these records' partitions. Raises `RewindRequired`."""
        first = dict[tuple[str, int], int]()
        for record in records:
            place = (record.topic, record.partition)
            first[place] = min(record.offset, first.get(place, record.offset))
        pages = _pages([row async for row in self._sql.lock_pages(connection, **self._named(first))])
        others = {(r.topic, r.partition) for r in records if self._is_another(r, pages)}
        back = {place: first[place] for place in first.keys() - pages.keys() | others}
        gaps = {place: page.next_offset for place, page in pages.items() if first[place] > page.next_offset}
        for place in pages.keys() - gaps.keys():
            self._tried.pop(place, None)
        # Once only: offsets that hold no record would send us back for ever. But only a seek that took place
        # counts: after one that did not, these records would be `missing` although Kafka holds them.
        gaps = {place: offset for place, offset in gaps.items() if self._tried.get(place) != offset}
        if back or gaps:
            raise RewindRequired(back | gaps, others, lambda: self._tried.update(gaps))
        return pages

    @staticmethod
    def _is_another(record: Record, pages: LedgerEntries) -> bool:
        page = pages.get((record.topic, record.partition))
        known = page is not None and page.last_record and record.offset == page.next_offset - 1
        return bool(known and page and page.last_record != fingerprint(record))

    async def save(self, connection: Connection, pages: LedgerEntries) -> None:
        """Write what was counted; call it last, in the transaction of the effects."""
        moved = {place: page for place, page in pages.items() if page.following > page.next_offset}
        if not moved:
            return
        await self._sql.save_pages(
            connection,
            **self._named(moved),
            epochs=[page.epoch for page in moved.values()],
            next_offsets=[page.following for page in moved.values()],
            last_records=[page.last_record for page in moved.values()],
            missing=[page.missing for page in moved.values()],
            **{name: [page.outcomes[name] for page in moved.values()] for name in _COUNTED},
        )

    async def read(self, connection: Connection, places: Collection[tuple[str, int]]) -> LedgerEntries:
        """Return the newest page of each of these partitions that has one."""
        return _pages([row async for row in self._sql.read_pages(connection, **self._named(places))])

    async def open(
        self, connection: Connection, place: tuple[str, int], epoch: int, base_offset: int
    ) -> None:
        """Open a partition's first page, or the page of a new epoch."""
        await self._sql.open_page(
            connection,
            stage=self.stage,
            topic=place[0],
            partition=place[1],
            epoch=epoch,
            base_offset=base_offset,
        )

    async def count_expired(
        self, connection: Connection, place: tuple[str, int], page: LedgerEntry, start: int
    ) -> None:
        """Count as missing what Kafka deleted before the stage had taken it: all before `start`."""
        await self._sql.count_expired(
            connection,
            stage=self.stage,
            topic=place[0],
            partition=place[1],
            epoch=page.epoch,
            next_offset=page.next_offset,
            start=start,
        )

    def _named(self, places: Collection[tuple[str, int]]) -> dict[str, Any]:
        return {
            "stage": self.stage,
            "topics": [topic for topic, _ in places],
            "partitions": [partition for _, partition in places],
        }


def _pages(rows: Sequence[Any]) -> LedgerEntries:
    return LedgerEntries(
        {
            (row["topic"], row["partition"]): LedgerEntry(
                row["epoch"], row["next_offset"], row["last_record"]
            )
            for row in rows
        }
    )
