"""The overview's chart: days and months of the viewer's zone, the period before, and their descriptions."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.admin.dashboard.charts import (
    BAR,
    HEAT_LEVELS,
    HEIGHT,
    RANGES,
    bar_chart,
    bucket_starts,
    busiest_hour,
    range_start,
    scale_ticks,
    week_table,
)
from services.admin.store.leads.trends import Count

NOW = datetime(2026, 11, 23, 10, 40, tzinfo=UTC)
KOLKATA, BERLIN = ZoneInfo("Asia/Kolkata"), ZoneInfo("Europe/Berlin")
WEEK, MONTH, YEAR = RANGES["7"], RANGES["30"], RANGES["12m"]


def test_buckets_start_at_the_days_and_months_of_the_zone() -> None:
    days = bucket_starts(WEEK, NOW, KOLKATA)
    assert (len(days), days[-1]) == (14, datetime(2026, 11, 22, 18, 30, tzinfo=UTC))
    assert range_start(WEEK, NOW, KOLKATA) == datetime(2026, 11, 16, 18, 30, tzinfo=UTC)
    months = bucket_starts(YEAR, NOW, BERLIN)
    assert [at.astimezone(BERLIN).strftime("%Y-%m-%d %H") for at in (months[0], months[12], months[-1])] == [
        "2024-12-01 00", "2025-12-01 00", "2026-11-01 00",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "change", [datetime(2026, 3, 31, 12, tzinfo=UTC), datetime(2026, 10, 28, 12, tzinfo=UTC)]
)
def test_daylight_saving_neither_repeats_nor_drops_a_day(change: datetime) -> None:
    local = [day.astimezone(BERLIN) for day in bucket_starts(MONTH, change, BERLIN)]
    assert {day.hour for day in local} == {0}
    assert len({day.date() for day in local}) == 60


def test_every_lead_is_in_a_bar_and_every_bar_inside_the_chart() -> None:
    counts = {at: Count(number, 1) for number, at in enumerate(bucket_starts(MONTH, NOW, KOLKATA))}
    chart = bar_chart(MONTH, counts, NOW, KOLKATA)
    assert [bar.value for bar in chart.bars] == list(range(30, 60))
    assert [bar.before for bar in chart.bars] == list(range(30))
    assert (chart.total, chart.total_before, chart.spam) == (sum(range(30, 60)), sum(range(30)), 30)
    for bar in chart.bars:
        assert 0 <= bar.x <= chart.width - BAR
        assert 0 <= bar.y <= bar.y + bar.height <= HEIGHT
        assert 0 <= bar.before_y <= HEIGHT
    assert [bar.is_current for bar in chart.bars] == [False] * 29 + [True]


@pytest.mark.parametrize("key", RANGES)
def test_the_labels_of_the_axis_have_equal_shares_of_the_bars(key: str) -> None:
    chart = bar_chart(RANGES[key], {}, NOW, BERLIN)
    assert len(chart.labels) * RANGES[key].label_every == len(chart.bars)


def test_the_description_states_totals_and_peak() -> None:
    empty = bar_chart(MONTH, {}, NOW, BERLIN).description
    assert empty == "No leads in the last 30 days; 0 in the 30 days before."
    days = bucket_starts(WEEK, NOW, BERLIN)
    description = bar_chart(WEEK, {days[3]: Count(2), days[12]: Count(7)}, NOW, BERLIN).description
    assert description == "7 leads in the last 7 days, 2 in the 7 days before. Most: Sun 22 Nov with 7."


def test_the_week_has_a_level_for_each_hour() -> None:
    table = week_table({(2, 9): 40, (2, 10): 1, (7, 23): 11})
    assert [name for name, _ in table] == ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"]
    assert [table[day][1][hour].level for day, hour in ((0, 0), (1, 9), (1, 10), (6, 23))] == [
        0, HEAT_LEVELS - 1, 1, 2,
    ]  # fmt: skip
    busiest = busiest_hour(table)
    assert busiest
    assert busiest.title.startswith("Tue 09:00")
    assert busiest_hour(week_table({})) is None


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
