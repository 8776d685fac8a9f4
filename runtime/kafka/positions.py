"""The position of a stage in one partition: in its ledger, in its consumer group and in the log."""

from collections.abc import Mapping
from dataclasses import dataclass

from aiokafka import TopicPartition

from runtime.database.ledger import LedgerEntries, LedgerEntry, fingerprint
from runtime.kafka.log_reader import read_records_at
from runtime.settings import Kafka


@dataclass(frozen=True)
class Position:
    """The position in one partition.

    `entry` is the ledger's entry, and `committed` is the group's committed offset. Either may be None. The
    log has the offsets from `start` up to, but not including, `end`. `log_record` is the fingerprint of the
    log's record at the last offset that the ledger counted. It is None if that record was not read.
    """

    entry: LedgerEntry | None
    committed: int | None
    start: int
    end: int
    log_record: str | None = None

    @property
    def is_another_log(self) -> bool:
        """Return True if the ledger counted records that this log does not have.

        Then the log was replaced, or it lost its last records.
        """
        if self.entry is None:
            return False
        if self.entry.next_offset > self.end:
            return True
        if self.entry.last_record is None:
            return self.committed is None and self.entry.next_offset > self.start
        return self.log_record is not None and self.log_record != self.entry.last_record

    @property
    def expired(self) -> int:
        """Return how many records Kafka deleted before the stage processed them."""
        return max(0, self.start - self.entry.next_offset) if self.entry else 0

    @property
    def next_offset(self) -> int:
        """Return the first offset that the ledger has not counted and Kafka still has."""
        return max(self.start, self.entry.next_offset) if self.entry else self.start

    @property
    def behind(self) -> int:
        """Return how many offsets the group has committed but the ledger has not counted.

        If there are any, the database was rolled back. Offsets that Kafka no longer has are left out.
        """
        return max(0, (self.committed or 0) - self.next_offset)


Positions = dict[TopicPartition, Position]


def lag(committed: int | None, start: int, end: int) -> int:
    """Return how many records of the log the group has not processed yet.

    If `committed` is None or lies before `start`, the group continues at the start of the log
    (`auto_offset_reset=earliest`).
    """
    return max(0, end - max(start, committed or 0))


async def read_positions(
    kafka: Kafka,
    entries: LedgerEntries,
    committed: Mapping[TopicPartition, int | None],
    starts: Mapping[TopicPartition, int],
    ends: Mapping[TopicPartition, int],
) -> Positions:
    """Return the position of each partition in `ends`. Reads the log's record at the last counted offset.

    Raises what aiokafka raises, and `TimeoutError`.
    """
    last_offsets = {
        each: entry.next_offset - 1
        for each in ends
        if (entry := entries.get(each))
        and entry.last_record
        and starts[each] < entry.next_offset <= ends[each]
    }
    records = await read_records_at(kafka, last_offsets)
    return {
        each: Position(
            entries.get(each),
            committed[each],
            starts[each],
            ends[each],
            fingerprint(records[each]) if each in records else None,
        )
        for each in ends
    }
