"""Intervals by the bootstrap, against what is known exactly."""

import random

import pytest

from tests.bench.bootstrap import LEVEL, median_interval, overlap


def test_an_interval_is_that_of_the_exact_bootstrap_distribution() -> None:
    # A resampled median of seven values is at most the k-th if four of seven draws are: P(Bin(7, k/7) >= 4).
    # That is 1.0 % for k = 1 and 10.0 % for k = 2, so the 2.5 % quantile is the second value. Likewise above.
    assert median_interval([3, 7, 1, 5, 2, 6, 4]) == (2, 6)
    # Of three values, the smallest is the median of 7 of 27 resamples: more than 2.5 %.
    assert median_interval([1, 2, 9]) == (1, 9)


def test_the_same_values_have_the_same_interval() -> None:
    values = [random.Random(7).gauss(1, 0.1) for _ in range(8)]
    assert median_interval(values) == median_interval(values)


def test_an_interval_of_eight_values_covers_the_median_as_documented() -> None:
    draw, trials = random.Random(3), 400
    intervals = [median_interval([draw.gauss(1, 0.1) for _ in range(8)], 200) for _ in range(trials)]
    covered = sum(low <= 1 <= high for low, high in intervals) / trials
    assert covered == pytest.approx(0.92, abs=0.03)
    assert covered < LEVEL


@pytest.mark.parametrize(
    ("other", "expected"),
    [((0.5, 0.9), False), ((0.5, 1.0), True), ((1.1, 1.2), True), ((0.5, 3.0), True), ((1.5, 2.0), False)],
)
def test_intervals_overlap_if_they_share_a_point(other: tuple[float, float], expected: bool) -> None:
    assert overlap((1.0, 1.4), other) is expected
    assert overlap(other, (1.0, 1.4)) is expected
