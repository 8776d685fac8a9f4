"""The ledger of one stage: it counts the outcome of each record of each partition exactly once.

A stage is a service that consumes records. An epoch is the life of one log: if the log of a partition is
replaced, a new epoch begins.

`next_offset` is the offset after the last counted record of a partition. A record below `next_offset` is not
counted again. Such a record may be redelivered, or come from a consumer that has lost the partition. Offsets
only decide which records are counted. A lead's id decides whether the lead is written.
"""

import zlib
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from runtime.database.postgres import Connection, Pool, load_queries, transaction
from runtime.failures import RewindRequired

Outcome = Literal["stored", "duplicate", "parked", "undecodable", "canary"]
_OUTCOMES: tuple[Outcome, ...] = ("stored", "duplicate", "parked", "undecodable", "canary")


class CountedRecord(Protocol):
    """The attributes of a record that the ledger reads."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None


def fingerprint(record: CountedRecord) -> str:
    """Return the record's timestamp and a checksum of its key.

    If the log is replaced, the record at the same offset has another fingerprint.
    """
    return f"{record.timestamp}/{zlib.crc32(record.key or b''):08x}"


@dataclass
class LedgerEntry:
    """One partition's ledger entry, as it was read at the start of a batch.

    `next_offset` is the first offset that was not counted at that time. `last_record` is the fingerprint of
    the last record that was counted, or None if it is not known.
    """

    epoch: int
    next_offset: int
    last_record: str | None = None
    last_offset: int = -1
    outcomes: Counter[Outcome] = field(default_factory=Counter)

    def count(self, offset: int, outcome: Outcome, last_record: str | None = None) -> None:
        """Count a record that was not counted before."""
        if offset >= self.next_offset and offset > self.last_offset:
            self.outcomes[outcome] += 1
            self.last_offset, self.last_record = offset, last_record

    @property
    def new_next_offset(self) -> int:
        """Return the offset after the last counted record."""
        return max(self.next_offset, self.last_offset + 1)

    @property
    def missing(self) -> int:
        """Return how many offsets in the counted range had no record. Kafka had removed these records."""
        return self.new_next_offset - self.next_offset - self.outcomes.total()


class LedgerEntries(dict[tuple[str, int], LedgerEntry]):
    """The entries by (topic, partition).

    The caller counts each partition's records in the order of their offsets.
    """

    def count(self, record: CountedRecord, outcome: Outcome) -> None:
        """Count one record's outcome in the entry of its partition."""
        self[record.topic, record.partition].count(record.offset, outcome, fingerprint(record))


class Ledger:
    """Locks, reads and saves the entries of one stage, within the caller's transaction."""

    def __init__(self, stage: str) -> None:
        self.stage = stage
        self._rewound_to: dict[tuple[str, int], int] = {}
        self._sql: Any = load_queries(Path(__file__).with_name("ledger.sql"))

    async def lock(self, connection: Connection, records: Sequence[CountedRecord]) -> LedgerEntries:
        """Lock and return the ledger entries of these records' partitions.

        Raises `RewindRequired`, after which `runtime.kafka.reconcile` repairs the ledger, in three cases:

        - A partition has no entry.
        - Earlier offsets are not counted yet: the database may have been rolled back.
        - The log was replaced.
        """
        first_offsets = dict[tuple[str, int], int]()
        for record in records:
            partition = (record.topic, record.partition)
            first_offsets[partition] = min(record.offset, first_offsets.get(partition, record.offset))
        rows = [row async for row in self._sql.lock_entries(connection, **self._parameters(first_offsets))]
        entries = _entries(rows)
        other_logs = {(r.topic, r.partition) for r in records if self._is_of_another_log(r, entries)}
        rewinds = {each: first_offsets[each] for each in first_offsets.keys() - entries.keys() | other_logs}
        gaps = {
            each: entry.next_offset
            for each, entry in entries.items()
            if first_offsets[each] > entry.next_offset
        }
        for partition in entries.keys() - gaps.keys():
            self._rewound_to.pop(partition, None)
        # Rewind to each offset only once: if Kafka has no record there, the consumer would rewind forever.
        # Remember the offset only after the seek. Otherwise records that Kafka still has would be counted as
        # `missing`.
        gaps = {each: offset for each, offset in gaps.items() if self._rewound_to.get(each) != offset}
        if rewinds or gaps:
            raise RewindRequired(rewinds | gaps, lambda: self._rewound_to.update(gaps))
        return entries

    @staticmethod
    def _is_of_another_log(record: CountedRecord, entries: LedgerEntries) -> bool:
        entry = entries.get((record.topic, record.partition))
        known = entry is not None and entry.last_record and record.offset == entry.next_offset - 1
        return bool(known and entry and entry.last_record != fingerprint(record))

    async def save(self, connection: Connection, entries: LedgerEntries) -> None:
        """Write what was counted. Call it last, in the transaction that writes the results of the records."""
        changed = {
            each: entry for each, entry in entries.items() if entry.new_next_offset > entry.next_offset
        }
        if not changed:
            return
        await self._sql.save_entries(
            connection,
            **self._parameters(changed),
            epochs=[entry.epoch for entry in changed.values()],
            next_offsets=[entry.new_next_offset for entry in changed.values()],
            last_records=[entry.last_record for entry in changed.values()],
            missing=[entry.missing for entry in changed.values()],
            **{name: [entry.outcomes[name] for entry in changed.values()] for name in _OUTCOMES},
        )

    def count_parameters(self, records: Sequence[CountedRecord]) -> dict[str, Any] | None:
        """Return the parameters of a statement that counts all these records with one outcome.

        Return None if an offset is missing between two records of a partition. The statement must lock the
        entries, and check that each is at the first offset of its partition. Then `lock` would not raise.
        """
        first, last = dict[tuple[str, int], CountedRecord](), dict[tuple[str, int], CountedRecord]()
        for record in records:
            partition = (record.topic, record.partition)
            before = last.get(partition)
            if before and record.offset != before.offset + 1:
                return None
            first.setdefault(partition, record)
            last[partition] = record
        return {
            "topics": [topic for topic, _ in first],
            "partitions": [number for _, number in first],
            "first_offsets": [record.offset for record in first.values()],
            "next_offsets": [last[each].offset + 1 for each in first],
            "last_records": [fingerprint(last[each]) for each in first],
        }

    def forget_rewinds(self, records: Sequence[CountedRecord]) -> None:
        """Allow a rewind to any offset again, as these records continued their ledger entries."""
        for partition in {(record.topic, record.partition) for record in records}:
            self._rewound_to.pop(partition, None)

    async def count_failure(self, pool: Pool, record: CountedRecord) -> None:
        """Count one record as `parked` (sent to the replay queue), in a transaction of its own.

        Call it after the record's failure was published.
        """
        async with transaction(pool) as connection:
            entries = await self.lock(connection, [record])
            entries.count(record, "parked")
            await self.save(connection, entries)

    async def read(self, connection: Connection, partitions: Collection[tuple[str, int]]) -> LedgerEntries:
        """Return the entry of each partition's latest epoch. Partitions without an entry are left out."""
        rows = self._sql.read_entries(connection, **self._parameters(partitions))
        return _entries([row async for row in rows])

    async def open_epoch(
        self, connection: Connection, partition: tuple[str, int], epoch: int, base_offset: int
    ) -> None:
        """Insert the entry of an epoch of this partition. Counting starts at `base_offset`."""
        await self._sql.open_epoch(
            connection,
            stage=self.stage,
            topic=partition[0],
            partition=partition[1],
            epoch=epoch,
            base_offset=base_offset,
        )

    async def count_expired(
        self, connection: Connection, partition: tuple[str, int], entry: LedgerEntry, start: int
    ) -> None:
        """Count the partition's uncounted offsets before `start` as missing.

        Kafka deleted their records before this stage read them.
        """
        await self._sql.count_expired(
            connection,
            stage=self.stage,
            topic=partition[0],
            partition=partition[1],
            epoch=entry.epoch,
            next_offset=entry.next_offset,
            start=start,
        )

    def _parameters(self, partitions: Collection[tuple[str, int]]) -> dict[str, Any]:
        return {
            "stage": self.stage,
            "topics": [topic for topic, _ in partitions],
            "partitions": [number for _, number in partitions],
        }


def _entries(rows: Sequence[Any]) -> LedgerEntries:
    return LedgerEntries(
        {
            (row["topic"], row["partition"]): LedgerEntry(
                row["epoch"], row["next_offset"], row["last_record"]
            )
            for row in rows
        }
    )
