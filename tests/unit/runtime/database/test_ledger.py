"""The ledger counts each record once, and skipped offsets as missing."""

from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.database.ledger import Ledger, LedgerEntry, Outcome
from runtime.failures import RewindRequired
from tests.support.database.fake_ledger import OneEntry

OUTCOMES: list[Outcome] = ["stored", "duplicate", "parked", "undecodable"]


def test_record_below_next_offset_is_not_counted_again() -> None:
    entry = LedgerEntry(epoch=1, next_offset=10)
    entry.count(9, "stored")
    assert entry.outcomes.total() == 0
    assert entry.new_next_offset == 10


def test_skipped_offsets_are_counted_as_missing() -> None:
    entry = LedgerEntry(epoch=1, next_offset=10)
    entry.count(13, "stored")
    assert (entry.new_next_offset, entry.missing) == (14, 3)


@given(
    start=st.integers(0, 1000),
    deliveries=st.lists(st.tuples(st.integers(0, 60), st.integers(1, 30)), max_size=20),
    outcome=st.sampled_from(OUTCOMES),
)
def test_ledger_balances_whatever_is_redelivered(
    start: int, deliveries: list[tuple[int, int]], outcome: Outcome
) -> None:
    base = next_offset = start
    counted = missing = 0
    for first, length in deliveries:
        entry = LedgerEntry(epoch=1, next_offset=next_offset)
        for offset in range(start + first, start + first + length):
            entry.count(offset, outcome)
        counted += entry.outcomes.total()
        missing += entry.missing
        next_offset = entry.new_next_offset
        assert next_offset - base == counted + missing
        assert missing >= 0


def record_at(offset: int) -> Any:
    return SimpleNamespace(topic="t", partition=0, offset=offset, timestamp=1, key=None)


async def test_regression_offsets_are_missing_only_after_a_rewind() -> None:
    ledger, sql = Ledger("persister"), OneEntry()
    ledger._sql = sql
    connection = cast("Any", None)
    for _ in range(2):  # the consumer did not seek after the first one
        with pytest.raises(RewindRequired) as back:
            await ledger.lock(connection, [record_at(120)])
        assert back.value.offsets == {("t", 0): 100}
    back.value.confirm()
    assert (await ledger.lock(connection, [record_at(120)]))["t", 0].next_offset == 100
    # A database that is rolled back to the same offset later on is another matter.
    sql.next_offset = 121
    await ledger.lock(connection, [record_at(121)])
    sql.next_offset = 100
    with pytest.raises(RewindRequired):
        await ledger.lock(connection, [record_at(122)])
