"""Decoding the records of a batch."""

from typing import Any

import pytest

from services.notifier.deliveries import decode_batch
from tests.support.services.notifier import FakeRecord


@pytest.mark.parametrize("value", [None, b"", b"\xff", b"{}", b"[]", b"null"])
def test_decode_batch_separates_undecodable_records(value: bytes | None) -> None:
    record: Any = FakeRecord()
    record.value = value
    batch = decode_batch([record])
    assert (batch.leads, batch.undecodable) == ([], [record])
