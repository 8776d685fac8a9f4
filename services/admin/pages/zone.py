"""The viewer's time zone: the browser names it with each request that our script sends."""

from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from fastapi import Depends, Request


def zone(request: Request) -> ZoneInfo:
    """Return the viewer's zone; UTC where it is not told, or not known here."""
    try:
        return ZoneInfo(request.headers.get("x-time-zone", "UTC"))
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return ZoneInfo("UTC")


Zone = Annotated[ZoneInfo, Depends(zone)]


def midnight(day: date, zone: ZoneInfo, days: int = 0) -> datetime:
    """Return the beginning of a day of the viewer's, or of one so many days later."""
    try:
        return datetime.combine(day + timedelta(days=days), time(), zone).astimezone(UTC)
    except OverflowError:
        return datetime.combine(day, time(), UTC)
