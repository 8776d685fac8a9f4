"""The viewer's time zone: app.js sends the browser's zone with each htmx request, and a list's URL has it."""

from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from fastapi import Depends, Request


def viewer_zone(request: Request) -> ZoneInfo:
    """Return the zone in the X-Time-Zone header or in the URL; UTC if it is missing or unknown."""
    return zone_or_utc(request.headers.get("x-time-zone") or request.query_params.get("zone"))


def zone_or_utc(name: str | None) -> ZoneInfo:
    """Return the zone of this name; UTC if the name is missing or unknown."""
    try:
        return ZoneInfo(name or "UTC")
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return ZoneInfo("UTC")


ViewerZone = Annotated[ZoneInfo, Depends(viewer_zone)]


def midnight(day: date, zone: ZoneInfo, days: int = 0) -> datetime:
    """Return when, in UTC, the zone begins the day that is `days` days after `day`."""
    try:
        return datetime.combine(day + timedelta(days=days), time(), zone).astimezone(UTC)
    except OverflowError:
        return datetime.combine(day, time(), UTC)
