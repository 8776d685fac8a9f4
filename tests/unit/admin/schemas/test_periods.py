"""Periods with a name: their days, and the moments at which days begin in a zone."""

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import pytest

from services.admin.schemas.periods import Period, midnight, period_days

SUNDAY = date(2026, 3, 1)


@pytest.mark.parametrize(
    ("period", "first", "last"),
    [
        ("today", SUNDAY, SUNDAY),
        ("yesterday", date(2026, 2, 28), date(2026, 2, 28)),
        ("this_week", date(2026, 2, 23), SUNDAY),
        ("last_week", date(2026, 2, 16), date(2026, 2, 22)),
        ("last_7_days", date(2026, 2, 23), SUNDAY),
        ("this_month", SUNDAY, SUNDAY),
        ("last_month", date(2026, 2, 1), date(2026, 2, 28)),
    ],
)
def test_a_period_has_its_days(period: Period, first: date, last: date) -> None:
    assert period_days(period, SUNDAY) == (first, last)


def test_a_day_begins_at_midnight_of_the_zone() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    assert midnight(date(2026, 3, 29), berlin) == datetime(2026, 3, 28, 23, tzinfo=UTC)
    # The clocks changed on that day.
    assert midnight(date(2026, 3, 29), berlin, days=1) == datetime(2026, 3, 29, 22, tzinfo=UTC)
