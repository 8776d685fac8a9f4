"""The overview's bars: the hours and days of the viewer's zone, and the words that say the same."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest

from services.admin.dashboard.charts import HEIGHT, WIDTH, begin, buckets, ceiling, draw

NOW = datetime(2026, 11, 23, 10, 40, tzinfo=UTC)
KOLKATA, BERLIN = ZoneInfo("Asia/Kolkata"), ZoneInfo("Europe/Berlin")


def test_hours_and_days_begin_where_the_viewer_s_do() -> None:
    assert buckets("hour", NOW, KOLKATA)[-1] == datetime(2026, 11, 23, 10, 30, tzinfo=UTC)
    assert buckets("day", NOW, KOLKATA)[-1] == datetime(2026, 11, 22, 18, 30, tzinfo=UTC)
    assert begin("hour", NOW, KOLKATA) == buckets("hour", NOW, KOLKATA)[0]


@pytest.mark.parametrize(
    "change", [datetime(2026, 3, 29, 12, tzinfo=UTC), datetime(2026, 10, 25, 12, tzinfo=UTC)]
)
def test_a_change_of_the_clock_neither_repeats_nor_drops_an_hour_or_a_day(change: datetime) -> None:
    hours, days = buckets("hour", change, BERLIN), buckets("day", change + timedelta(days=3), BERLIN)
    assert {later - earlier for earlier, later in pairwise(hours)} == {timedelta(hours=1)}
    here = [day.astimezone(BERLIN) for day in days]
    assert {day.hour for day in here} == {0}
    assert len({day.date() for day in here}) == 30


def test_every_lead_of_the_window_is_in_a_bar_and_every_bar_in_the_drawing() -> None:
    counts = {at: number for number, at in enumerate(buckets("hour", NOW, KOLKATA))}
    chart = draw("hour", counts, NOW, KOLKATA)
    assert chart.total == sum(counts.values())
    assert [bar.value for bar in chart.bars] == list(counts.values())
    for bar in chart.bars:
        assert 0 <= bar.x < bar.x + bar.width <= WIDTH
        assert 0 <= bar.y <= bar.y + bar.height <= HEIGHT
    assert [bar.now for bar in chart.bars] == [False] * 23 + [True]


def test_a_chart_says_in_words_what_it_shows() -> None:
    assert draw("day", {}, NOW, BERLIN).said == "No leads in the last 30 days."
    said = draw("hour", {datetime(2026, 11, 23, 9, tzinfo=UTC): 7}, NOW, BERLIN).said
    assert said == "7 leads in the last 24 hours. Most in one hour: 7, Mon 10:00. In the current hour: 0."


@pytest.mark.parametrize(
    ("highest", "wanted"), [(0, 4), (3, 4), (5, 10), (10, 10), (11, 20), (51, 100), (101, 200)]
)
def test_the_scale_ends_at_a_round_number_that_no_bar_exceeds(highest: int, wanted: int) -> None:
    assert ceiling(highest) == wanted
    assert wanted % 2 == 0, "the line in the middle has a whole number, too"
