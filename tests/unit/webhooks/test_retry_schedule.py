"""The waits between retries, and the pauses of a destination that fails."""

import random
from datetime import timedelta

import pytest

from services.webhooks.retry_schedule import DEFAULT_WAITS_SECONDS, RetrySchedule, parse_waits, pause


class _Fixed(random.Random):
    """Returns the same number each time."""

    def __init__(self, value: float) -> None:
        super().__init__()
        self._value = value

    def random(self) -> float:
        return self._value


NO_JITTER, FULL_JITTER = _Fixed(0), _Fixed(1)
DEFAULT = RetrySchedule(parse_waits(DEFAULT_WAITS_SECONDS))


def test_nine_retries_come_within_about_three_days() -> None:
    waits = [DEFAULT.wait(retries, NO_JITTER) for retries in range(9)]
    assert waits == list(DEFAULT.waits)
    assert [wait.total_seconds() for wait in waits if wait] == [
        5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400,
    ]  # fmt: skip
    assert timedelta(days=3) < sum(DEFAULT.waits, timedelta()) < timedelta(days=3, hours=6)


def test_after_the_last_retry_there_is_none() -> None:
    assert DEFAULT.wait(9, NO_JITTER) is None
    assert DEFAULT.wait(10**6, NO_JITTER) is None


def test_a_retry_is_up_to_a_fifth_later() -> None:
    assert DEFAULT.wait(0, FULL_JITTER) == timedelta(seconds=6)
    waits = {DEFAULT.wait(1, random.Random(seed)) for seed in range(50)}
    assert len(waits) == 50
    assert all(wait and timedelta(minutes=5) <= wait <= timedelta(minutes=6) for wait in waits)


@pytest.mark.parametrize(
    ("failures", "seconds"),
    [(0, None), (4, None), (5, 30), (6, 60), (7, 120), (8, 240), (9, 480), (10, 600), (10**6, 600)],
)
def test_the_fifth_failure_pauses_and_each_probe_doubles(failures: int, seconds: int | None) -> None:
    expected = None if seconds is None else timedelta(seconds=seconds)
    assert pause(failures, NO_JITTER) == expected
    assert pause(failures, FULL_JITTER) == (expected * 1.2 if expected else None)


def test_the_waits_come_from_a_list_of_seconds() -> None:
    assert parse_waits("1, 2.5,604800") == (timedelta(seconds=1), timedelta(seconds=2.5), timedelta(days=7))


@pytest.mark.parametrize("text", ["", "5,", "five", "0", "-1", "nan", "604801", ",".join(["1"] * 51)])
def test_a_list_that_is_none_says_what_it_must_be(text: str) -> None:
    with pytest.raises(ValueError, match="1 to 50 numbers"):
        parse_waits(text)
