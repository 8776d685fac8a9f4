"""Periods with names, such as yesterday, and their first and last days. No I/O, no clock."""

from datetime import UTC, date, datetime, time, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

Period = Literal["today", "yesterday", "this_week", "last_week", "last_7_days", "this_month", "last_month"]
_DAY = timedelta(days=1)


def period_days(period: Period, today: date) -> tuple[date, date]:
    """Return the first and the last day of a period. A week begins on Monday."""
    monday, first = today - today.weekday() * _DAY, today.replace(day=1)
    return {
        "today": (today, today),
        "yesterday": (today - _DAY, today - _DAY),
        "this_week": (monday, today),
        "last_week": (monday - 7 * _DAY, monday - _DAY),
        "last_7_days": (today - 6 * _DAY, today),
        "this_month": (first, today),
        "last_month": ((first - _DAY).replace(day=1), first - _DAY),
    }[period]


def midnight(day: date, zone: ZoneInfo, days: int = 0) -> datetime:
    """Return the start of a day in the zone, as UTC. The day is `days` days after `day`."""
    try:
        return datetime.combine(day + timedelta(days=days), time(), zone).astimezone(UTC)
    except OverflowError:
        return datetime.combine(day, time(), UTC)
