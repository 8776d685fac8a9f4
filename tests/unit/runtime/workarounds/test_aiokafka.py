"""Records in fetch responses whose header names are not UTF-8."""

from typing import Any

import pytest
from aiokafka.consumer import fetcher
from aiokafka.record.default_records import _DefaultRecordBatchBuilderPy

from runtime.kafka.broker import build_broker
from runtime.settings import Kafka
from runtime.workarounds.aiokafka import TolerantRecords


class Name(str):
    """A header name that is encoded as bytes that are not UTF-8."""

    __slots__ = ()

    def encode(self, encoding: str = "utf-8", errors: str = "strict") -> bytes:
        del encoding, errors
        return b"\xff\xfe"


def answer(*headers: list[tuple[str, bytes]], codec: int) -> bytes:
    builder = _DefaultRecordBatchBuilderPy(
        magic=2,
        compression_type=codec,
        is_transactional=0,
        producer_id=-1,
        producer_epoch=-1,
        base_sequence=-1,
        batch_size=1 << 20,
    )
    for offset, each in enumerate(headers):
        builder.append(offset, 1, b"key", b"value %d" % offset, each)
    return bytes(builder.build())


@pytest.mark.parametrize("codec", [0, 1], ids=["plain", "gzip"])
def test_regression_invalid_header_name_hides_no_record(codec: int) -> None:
    good: list[tuple[str, bytes]] = [("content-type", b"application/json")]
    data = answer(good, [(Name("odd"), b"\xff"), *good], good, codec=codec)
    records = TolerantRecords(data)
    records_by_offset: dict[int, Any] = {}
    while records.has_next():
        for record in records.next_batch():
            records_by_offset.setdefault(
                record.offset, record
            )  # as the fetcher does, which skips records that it has
    assert [records_by_offset[n].value for n in range(3)] == [b"value 0", b"value 1", b"value 2"]
    assert [records_by_offset[n].headers for n in range(3)] == [good, [("\\xff\\xfe", b"\xff"), *good], good]


def test_consumers_accept_any_header_name() -> None:
    build_broker(Kafka(bootstrap_servers="127.0.0.1:1"), "test")
    assert fetcher.MemoryRecords is TolerantRecords
