"""Reading of records whose headers have names that are not UTF-8. Nothing else of aiokafka is changed.

Kafka takes any bytes as a header's name, aiokafka raises on those (seen with 0.14.0): one such record
would end every consumer of its topic, again after each restart. Its names are read escaped instead.
"""

from collections.abc import Iterator
from typing import Any

from aiokafka.consumer import fetcher
from aiokafka.errors import CorruptRecordException
from aiokafka.record.default_records import DefaultRecordBatch, _DefaultRecordBatchPy
from aiokafka.record.memory_records import _MemoryRecordsPy


class _Lenient(bytearray):
    """Bytes whose slices decode whatever they hold."""

    def __getitem__(self, key: Any) -> Any:
        found = super().__getitem__(key)
        return _Lenient(found) if isinstance(found, bytearray) else found

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        del errors
        return super().decode(encoding, "backslashreplace")


class _TolerantBatch:
    """A batch that is read a second time, leniently and slowly, where the first reading fails."""

    def __init__(self, batch: Any, data: memoryview) -> None:
        self._batch, self._data = batch, data

    def __getattr__(self, name: str) -> Any:
        return getattr(self._batch, name)

    def __next__(self) -> Any:
        return next(self._batch)

    def __iter__(self) -> Iterator[Any]:
        try:
            yield from self._batch
        except (UnicodeDecodeError, CorruptRecordException):  # the latter without aiokafka's C extension
            again = _DefaultRecordBatchPy(self._data)
            again._maybe_uncompress()  # noqa: SLF001
            again._buffer = _Lenient(again._buffer)  # noqa: SLF001
            yield from again  # the fetcher passes over what it has had


class TolerantRecords(_MemoryRecordsPy):  # type: ignore[misc]
    """What a broker answered to a fetch, batch by batch."""

    def next_batch(self) -> Any:
        """Return the next batch; batches of the oldest formats have no headers."""
        data, batch = self._next_slice, super().next_batch()
        return _TolerantBatch(batch, data) if isinstance(batch, DefaultRecordBatch) else batch


def tolerate_any_header() -> None:
    """Have every consumer of this process read so."""
    fetcher.MemoryRecords = TolerantRecords
