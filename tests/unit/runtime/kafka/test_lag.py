"""What a group has still to take, of what its log holds."""

import pytest

from runtime.kafka.lag import lag


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
