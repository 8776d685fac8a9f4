"""The viewer's time zone: the browser names it with each request that our script sends."""

from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from fastapi import Depends, Request


def zone(request: Request) -> ZoneInfo:
    """Return the viewer's zone, as its browser tells it."""
    return named_zone(request.headers.get("x-time-zone"))


def named_zone(name: str | None) -> ZoneInfo:
    """Return a zone; UTC where none is told, or it is not known here."""
    try:
        return ZoneInfo(name or "UTC")
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return ZoneInfo("UTC")


Zone = Annotated[ZoneInfo, Depends(zone)]


def midnight(day: date, zone: ZoneInfo, days: int = 0) -> datetime:
    """Return the beginning of a day of the viewer's, or of one so many days later."""
    try:
        return datetime.combine(day + timedelta(days=days), time(), zone).astimezone(UTC)
    except OverflowError:
        return datetime.combine(day, time(), UTC)
