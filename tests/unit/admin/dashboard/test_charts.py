"""The overview's bar charts: hours and days of the viewer's zone, and their descriptions."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.admin.dashboard.charts import HEIGHT, WIDTH, bar_chart, bucket_starts, scale_ticks, window_start

NOW = datetime(2026, 11, 23, 10, 40, tzinfo=UTC)
KOLKATA, BERLIN = ZoneInfo("Asia/Kolkata"), ZoneInfo("Europe/Berlin")


def test_buckets_start_at_the_hours_and_days_of_the_zone() -> None:
    assert bucket_starts("hour", NOW, KOLKATA)[-1] == datetime(2026, 11, 23, 10, 30, tzinfo=UTC)
    assert bucket_starts("day", NOW, KOLKATA)[-1] == datetime(2026, 11, 22, 18, 30, tzinfo=UTC)
    assert window_start("hour", NOW, KOLKATA) == bucket_starts("hour", NOW, KOLKATA)[0]


@pytest.mark.parametrize(
    "change", [datetime(2026, 3, 29, 12, tzinfo=UTC), datetime(2026, 10, 25, 12, tzinfo=UTC)]
)
def test_daylight_saving_neither_repeats_nor_drops_a_bucket(change: datetime) -> None:
    hours, days = (
        bucket_starts("hour", change, BERLIN),
        bucket_starts("day", change + timedelta(days=3), BERLIN),
    )
    assert {later - earlier for earlier, later in pairwise(hours)} == {timedelta(hours=1)}
    local = [day.astimezone(BERLIN) for day in days]
    assert {day.hour for day in local} == {0}
    assert len({day.date() for day in local}) == 30


def test_every_lead_is_in_a_bar_and_every_bar_inside_the_chart() -> None:
    counts = {at: number for number, at in enumerate(bucket_starts("hour", NOW, KOLKATA))}
    chart = bar_chart("hour", counts, NOW, KOLKATA)
    assert chart.total == sum(counts.values())
    assert [bar.value for bar in chart.bars] == list(counts.values())
    for bar in chart.bars:
        assert 0 <= bar.x < bar.x + bar.width <= WIDTH
        assert 0 <= bar.y <= bar.y + bar.height <= HEIGHT
    assert [bar.is_current for bar in chart.bars] == [False] * 23 + [True]


def test_the_description_states_total_peak_and_current_value() -> None:
    assert bar_chart("day", {}, NOW, BERLIN).description == "No leads in the last 30 days."
    description = bar_chart("hour", {datetime(2026, 11, 23, 9, tzinfo=UTC): 7}, NOW, BERLIN).description
    assert description == "7 leads in the last 24 hours. Busiest hour: Mon 10:00 with 7. Current hour: 0."


@pytest.mark.parametrize(
    ("highest", "expected"),
    [
        (0, [1]),
        (1, [1]),
        (4, [1, 2, 3, 4]),
        (5, [1, 2, 3, 4, 5]),
        (10, [2, 4, 6, 8, 10]),
        (60, [20, 40, 60]),
        (61, [25, 50, 75]),
        (205, [50, 100, 150, 200, 250]),
    ],
)
def test_the_scale_has_round_lines(highest: int, expected: list[int]) -> None:
    assert scale_ticks(highest) == expected


@given(st.integers(1, 10**9))
def test_regression_the_highest_bar_fills_two_thirds_of_the_chart(highest: int) -> None:
    ticks = scale_ticks(highest)
    assert ticks[-1] * 2 / 3 <= highest <= ticks[-1]  # the scale was 500 for 205
    assert len(ticks) <= 5
    assert ticks == [ticks[0] * line for line in range(1, len(ticks) + 1)]
    assert str(ticks[0]).rstrip("0") in {"1", "2", "25", "5"}
