"""Counting on a page: each record once, whatever is repeated, and what was passed over is missing."""

from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.database.ledger import Ledger, LedgerEntry, Outcome
from runtime.failures import RewindRequired

OUTCOMES: list[Outcome] = ["stored", "duplicate", "parked", "undecodable"]


def test_a_record_below_the_next_offset_was_counted_before() -> None:
    page = LedgerEntry(epoch=1, next_offset=10)
    page.count(9, "stored")
    assert page.outcomes.total() == 0
    assert page.new_next_offset == 10


def test_offsets_that_were_passed_without_a_record_are_missing() -> None:
    page = LedgerEntry(epoch=1, next_offset=10)
    page.count(13, "stored")
    assert (page.new_next_offset, page.missing) == (14, 3)


@given(
    start=st.integers(0, 1000),
    deliveries=st.lists(st.tuples(st.integers(0, 60), st.integers(1, 30)), max_size=20),
    outcome=st.sampled_from(OUTCOMES),
)
def test_the_books_balance_whatever_is_redelivered(
    start: int, deliveries: list[tuple[int, int]], outcome: Outcome
) -> None:
    base = next_offset = start
    counted = missing = 0
    for first, length in deliveries:
        page = LedgerEntry(epoch=1, next_offset=next_offset)
        for offset in range(start + first, start + first + length):
            page.count(offset, outcome)
        counted += page.outcomes.total()
        missing += page.missing
        next_offset = page.new_next_offset
        assert next_offset - base == counted + missing
        assert missing >= 0


class OnePage:
    """The queries of a ledger with one page, of the partition t/0."""

    next_offset = 100

    async def lock_entries(self, *_: Any, **__: Any) -> AsyncIterator[dict[str, Any]]:
        yield {"topic": "t", "partition": 0, "epoch": 1, "next_offset": self.next_offset, "last_record": None}


def record_at(offset: int) -> Any:
    return SimpleNamespace(topic="t", partition=0, offset=offset, timestamp=1, key=None)


async def test_regression_offsets_are_missing_only_after_a_rewind() -> None:
    ledger, sql = Ledger("persister"), OnePage()
    ledger._sql = sql
    connection = cast("Any", None)
    for _ in range(2):  # the seek of the first one did not take place
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
