"""Counting on a page: each record once, whatever is repeated, and what was passed over is missing."""

from hypothesis import given
from hypothesis import strategies as st

from runtime.ledger import Outcome, Page

OUTCOMES: list[Outcome] = ["stored", "duplicate", "parked", "undecodable"]


def test_a_record_below_the_next_offset_was_counted_before() -> None:
    page = Page(epoch=1, next_offset=10)
    page.count(9, "stored")
    assert page.outcomes.total() == 0
    assert page.following == 10


def test_offsets_that_were_passed_without_a_record_are_missing() -> None:
    page = Page(epoch=1, next_offset=10)
    page.count(13, "stored")
    assert (page.following, page.missing) == (14, 3)


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
        page = Page(epoch=1, next_offset=next_offset)
        for offset in range(start + first, start + first + length):
            page.count(offset, outcome)
        counted += page.outcomes.total()
        missing += page.missing
        next_offset = page.following
        assert next_offset - base == counted + missing
        assert missing >= 0
