"""The books of one stage: what became of each record of each partition, counted exactly once.

Ids decide what is written, offsets only what is counted: a record below `next_offset` was counted
before, whoever handled it then, so zombies, rebalances and redeliveries cannot count twice.
"""

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from runtime.failures import SeekBack
from runtime.postgres import Connection, load_queries

Outcome = Literal["stored", "duplicate", "parked", "undecodable"]
Bounds = Callable[[str, int], Awaitable[tuple[int, int]]]
_COUNTED: tuple[Outcome, ...] = ("stored", "duplicate", "parked", "undecodable")


class Record(Protocol):
    """What the books need of a record."""

    topic: str
    partition: int
    offset: int


@dataclass
class Page:
    """One partition's page while a batch is in hand."""

    epoch: int
    next_offset: int
    last_offset: int = -1
    outcomes: Counter[Outcome] = field(default_factory=Counter)

    def count(self, offset: int, outcome: Outcome) -> None:
        """Count a record, unless it was counted before."""
        if offset >= self.next_offset and offset > self.last_offset:
            self.outcomes[outcome] += 1
            self.last_offset = offset

    @property
    def following(self) -> int:
        """Return the offset after the last one counted."""
        return max(self.next_offset, self.last_offset + 1)

    @property
    def missing(self) -> int:
        """Return how many offsets were passed without a record: Kafka no longer holds them."""
        return self.following - self.next_offset - self.outcomes.total()


class Pages(dict[tuple[str, int], Page]):
    """The locked pages of a batch. Count records in the order of their offsets."""

    def count(self, record: Record, outcome: Outcome) -> None:
        """Count one record's outcome on its partition's page."""
        self[record.topic, record.partition].count(record.offset, outcome)


class Ledger:
    """Locks, counts and saves within the caller's transaction.

    `bounds` answers a partition's first and next offset in Kafka. A first record past `next_offset`
    (a restored database) makes the stage go back; what Kafka no longer holds is counted as missing.
    `go_back=False` is for a stage whose effects left the house: mails sent stay sent.
    """

    def __init__(self, stage: str, bounds: Bounds, *, go_back: bool = True) -> None:
        self._stage = stage
        self._bounds = bounds
        self._go_back = go_back
        self._tried: dict[tuple[str, int], int] = {}
        self._sql: Any = load_queries(Path(__file__).with_name("ledger.sql"))

    async def lock(self, connection: Connection, records: Sequence[Record]) -> Pages:
        """Lock the pages of these records' partitions. Raises `SeekBack`, or `WorldAway` from Kafka."""
        first = dict[tuple[str, int], int]()
        for record in records:
            place = (record.topic, record.partition)
            first[place] = min(record.offset, first.get(place, record.offset))
        pages = await self._lock(connection, first)
        if len(pages) < len(first):
            for place in first.keys() - pages.keys():
                base = (await self._bounds(*place))[0] if self._go_back else first[place]
                await self._open(connection, place, 1, min(base, first[place]))
            pages = await self._lock(connection, first)
        back = dict[tuple[str, int], int]()
        for place, page in pages.items():
            if first[place] < page.next_offset:
                await self._check_epoch(connection, place, page, first[place])
            elif first[place] > page.next_offset and self._go_back:
                held_from = (await self._bounds(*place))[0]
                target = max(page.next_offset, held_from)
                # Once only: offsets that hold no record would send us back for ever.
                if target < first[place] and self._tried.get(place) != target:
                    self._tried[place] = back[place] = target
        if back:
            raise SeekBack(back)
        return pages

    async def save(self, connection: Connection, pages: Pages) -> None:
        """Write what was counted; call it last, in the transaction of the effects."""
        moved = {place: page for place, page in pages.items() if page.following > page.next_offset}
        if not moved:
            return
        await self._sql.save_pages(
            connection,
            stage=self._stage,
            topics=[topic for topic, _ in moved],
            partitions=[partition for _, partition in moved],
            epochs=[page.epoch for page in moved.values()],
            next_offsets=[page.following for page in moved.values()],
            missing=[page.missing for page in moved.values()],
            **{name: [page.outcomes[name] for page in moved.values()] for name in _COUNTED},
        )

    async def _lock(self, connection: Connection, places: dict[tuple[str, int], int]) -> Pages:
        rows = self._sql.lock_pages(
            connection,
            stage=self._stage,
            topics=[topic for topic, _ in places],
            partitions=[partition for _, partition in places],
        )
        return Pages(
            {(row["topic"], row["partition"]): Page(row["epoch"], row["next_offset"]) async for row in rows}
        )

    async def _open(
        self, connection: Connection, place: tuple[str, int], epoch: int, base_offset: int
    ) -> None:
        await self._sql.open_page(
            connection,
            stage=self._stage,
            topic=place[0],
            partition=place[1],
            epoch=epoch,
            base_offset=base_offset,
        )

    async def _check_epoch(
        self, connection: Connection, place: tuple[str, int], page: Page, first: int
    ) -> None:
        """Begin a new epoch where the log ends before what we have counted: it is another log."""
        if (await self._bounds(*place))[1] < page.next_offset:
            page.epoch += 1
            await self._open(connection, place, page.epoch, first)
            page.next_offset = first
