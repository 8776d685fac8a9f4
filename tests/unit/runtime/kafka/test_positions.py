"""A stage's position in one partition, from its ledger, its group and the log."""

import pytest

from runtime.database.ledger import LedgerEntry
from runtime.kafka.positions import Position, lag

LAST = "1000/0000002a"


def entry(next_offset: int, last_record: str | None = LAST) -> LedgerEntry:
    return LedgerEntry(1, next_offset, last_record)


@pytest.mark.parametrize(
    "position",
    [
        Position(entry(10), committed=10, start=0, end=9, log_record=None),  # the log lost its tail
        Position(entry(10), committed=10, start=0, end=20, log_record="2000/00000000"),  # and has grown since
        Position(entry(10, None), committed=None, start=0, end=20),  # written before migration 0008
    ],
)
def test_log_without_last_record_is_another_log(position: Position) -> None:
    assert position.is_another_log


@pytest.mark.parametrize(
    "position",
    [
        Position(entry(10), committed=10, start=0, end=20, log_record=LAST),
        Position(entry(10), committed=None, start=0, end=20, log_record=LAST),  # the group's commits expired
        Position(entry(10), committed=10, start=15, end=20),  # its last record expired
        Position(entry(10, None), committed=10, start=0, end=20),
        Position(entry(0, None), committed=None, start=0, end=20),
        Position(None, committed=None, start=0, end=20),
    ],
)
def test_log_with_last_record_or_nothing_to_compare_is_unchanged(position: Position) -> None:
    assert not position.is_another_log


def test_ledger_below_committed_offset_is_behind() -> None:
    assert Position(entry(10), committed=25, start=0, end=30, log_record=LAST).behind == 15
    assert Position(None, committed=25, start=5, end=30).behind == 20
    assert Position(entry(25), committed=10, start=0, end=30, log_record=LAST).behind == 0


def test_records_deleted_by_retention_count_as_expired_not_as_lag() -> None:
    position = Position(entry(10), committed=25, start=20, end=30)
    assert (position.expired, position.next_offset, position.behind) == (10, 20, 5)


@pytest.mark.parametrize(
    ("committed", "start", "end", "expected"),
    [
        (10, 0, 20, 10),
        (20, 0, 20, 0),
        (None, 0, 20, 20),
        (None, 20, 20, 0),  # nothing committed, and every record has expired
        (5, 20, 20, 0),  # the commit is below the log's start
        (5, 15, 20, 5),
        (30, 0, 20, 0),  # the log lost its tail
    ],
)
def test_lag_counts_only_records_that_the_log_has(
    committed: int | None, start: int, end: int, expected: int
) -> None:
    assert lag(committed, start, end) == expected
