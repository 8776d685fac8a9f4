"""The log of one partition: record batches as the producer sent them, with the broker's offsets."""

import struct
import time
from dataclasses import dataclass, field
from typing import Any, Final

from aiokafka.record.memory_records import MemoryRecords
from aiokafka.record.util import calc_crc32c

# Positions in a record batch (Kafka's message format, version 2): the base offset is first, then the length,
# the epoch, the magic byte and the checksum of all that follows it.
_CHECKSUM_AT: Final = 17
_ATTRIBUTES_AT: Final = 21
_LAST_DELTA_AT: Final = 23
_MAX_TIMESTAMP_AT: Final = 35
# An attribute: the broker's time of the append is the time of all records (`LogAppendTime`).
_LOG_APPEND_TIME: Final = 0x08
_PRODUCER: Final = struct.Struct(">qhi")
_PRODUCER_AT: Final = 43
_NO_PRODUCER: Final = -1


@dataclass(frozen=True)
class StoredBatch:
    """A batch with the offsets of its first and last record, and its producer's sequence number."""

    first: int
    last: int
    timestamp: int
    data: bytes
    producer: tuple[int, int, int]


@dataclass
class PartitionLog:
    """The batches of one partition. `leader` is the node that serves it; None while it has no leader."""

    leader: int | None = 0
    start: int = 0
    batches: list[StoredBatch] = field(default_factory=list)

    @property
    def end(self) -> int:
        """Return the offset of the next record."""
        return self.batches[-1].last + 1 if self.batches else self.start

    def append(self, data: bytes) -> int:
        """Append a batch and return its base offset. A batch that was appended before is not repeated."""
        producer = _PRODUCER.unpack_from(data, _PRODUCER_AT)
        if producer[0] != _NO_PRODUCER:
            for batch in self.batches[-5:]:
                if batch.producer == producer:
                    return batch.first
        first, timestamp = self.end, int(time.time() * 1000)
        (delta,) = struct.unpack_from(">i", data, _LAST_DELTA_AT)
        batch_data = bytearray(data)
        struct.pack_into(">q", batch_data, 0, first)
        batch_data[_ATTRIBUTES_AT + 1] |= _LOG_APPEND_TIME
        struct.pack_into(">q", batch_data, _MAX_TIMESTAMP_AT, timestamp)
        struct.pack_into(">I", batch_data, _CHECKSUM_AT, calc_crc32c(bytes(batch_data[_ATTRIBUTES_AT:])))
        self.batches.append(StoredBatch(first, first + delta, timestamp, bytes(batch_data), producer))
        return first

    def read(self, offset: int, max_bytes: int) -> bytes:
        """Return batches from the one that contains `offset`; at least one, if there is one."""
        found = bytearray()
        for batch in self.batches:
            if batch.last >= offset and (not found or len(found) + len(batch.data) <= max_bytes):
                found += batch.data
        return bytes(found)

    def offset_at(self, timestamp: int) -> tuple[int, int]:
        """Return (timestamp, offset) of the first batch from `timestamp` on; (-1, -1) if there is none."""
        for batch in self.batches:
            if batch.timestamp >= timestamp:
                return batch.timestamp, max(batch.first, self.start)
        return -1, -1

    def truncate(self, end: int) -> None:
        """Lose all records from `end` on, as an unclean election does."""
        self.batches = [batch for batch in self.batches if batch.last < end]

    def delete_before(self, start: int) -> None:
        """Delete the records before `start`, as retention does."""
        end = self.end
        self.batches = [batch for batch in self.batches if batch.last >= start]
        self.start = min(start, end)

    def records(self) -> list[tuple[int, Any]]:
        """Return all retained records with their offsets."""
        found = list[tuple[int, Any]]()
        for batch in self.batches:
            memory = MemoryRecords(batch.data)
            while memory.has_next():
                found += [(record.offset, record) for record in memory.next_batch()]
        return [(offset, record) for offset, record in found if offset >= self.start]
