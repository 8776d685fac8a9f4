"""The viewer's time zone.

app.js sends the browser's time zone with each htmx request. The URL of a list contains the time zone too.
"""

from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from fastapi import Depends, Request

from services.admin.schemas.periods import midnight

__all__ = ("ViewerZone", "midnight", "viewer_zone", "zone_or_utc")


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
