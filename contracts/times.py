"""Field types for points in time. All values have a time zone; those of `Timestamp` are in UTC.

The years are limited for two reasons. A time zone conversion overflows near the ends of the calendar. asyncpg
stores the first and the last possible moments as infinity, and reads infinity back without a time zone.
"""

import math
import re
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from email.utils import parsedate_to_datetime
from typing import Annotated, Final
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, AwareDatetime

_EARLIEST: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LATEST: Final = datetime(2199, 12, 31, tzinfo=UTC)


def _check_year(value: datetime) -> datetime:
    if not 1970 <= value.year < 2200:
        raise ValueError("must lie between the years 1970 and 2200")
    return value.astimezone(UTC)


def _clamp(value: datetime) -> datetime:
    return min(max(value, _EARLIEST), _LATEST)


Timestamp = Annotated[AwareDatetime, AfterValidator(_check_year)]
"""A time between 1970 and 2200. Any other time is invalid."""

ClampedTimestamp = Annotated[AwareDatetime, AfterValidator(_clamp)]
"""A time that is moved into the years 1970 to 2199. For records that are kept even if a clock is wrong."""

_NUMBER: Final = re.compile(r"[+-]?\d{1,20}(\.\d{1,9})?")
_LEAP_SECOND: Final = re.compile(r"(\d\d:\d\d:)60")
# The text of JavaScript's Date: "Wed Jan 03 2024 10:30:42 GMT+0100 (Central European Standard Time)".
_JAVASCRIPT: Final = re.compile(
    r"[A-Z][a-z]{2} ([A-Z][a-z]{2}) (\d\d) (\d{4}) (\d\d:\d\d:\d\d) GMT([+-]\d{4})( \(.*\))?"
)
# A zone's name after a time, also in brackets (RFC 9557): "Europe/Berlin", "CET", "[Europe/Berlin]".
_ZONE: Final = re.compile(r"(.*?\d)\s*\[?!?(Z|[A-Za-z]{2,5}|[A-Z][A-Za-z_]+(?:/[A-Za-z_+-]+){1,2})\]?")
# Names in common use that the time zone database does not have.
_ZONE_HOURS: Final = {
    "BST": 1, "CEST": 2, "WEST": 1, "EEST": 3, "EDT": -4, "CST": -6, "CDT": -5, "MDT": -6, "PST": -8,
    "PDT": -7, "AKST": -9, "JST": 9, "KST": 9, "AEST": 10, "AEDT": 11, "NZST": 12, "NZDT": 13,
}  # fmt: skip
# Larger numbers are milliseconds, microseconds or nanoseconds since 1970. The first limit is pydantic's.
_EPOCH_UNITS: Final = ((2e10, 1), (2e13, 1e3), (2e16, 1e6), (math.inf, 1e9))


def utc_text(at: datetime, timespec: str = "microseconds") -> str:
    """Return `at`, which must be in UTC, as RFC 3339 text with a `Z`. `isoformat` explains `timespec`."""
    return at.isoformat(timespec=timespec).replace("+00:00", "Z")


def parse_time(value: object, default_zone: tzinfo | None = UTC) -> datetime | None:
    """Return the point in time in `value`, in UTC. Return None if it cannot be read.

    Reads RFC 3339, ISO 8601 and RFC 1123 times, and the text of a JavaScript `Date`. Accepts time zone names
    and leap seconds (second 60). A number is the time since 1970. Its size shows its unit: seconds,
    milliseconds, microseconds or nanoseconds. A time without a zone is in `default_zone`. If that is None, a
    time without a zone is not read.
    """
    if isinstance(value, bool):
        return None
    try:
        if isinstance(value, int | float):
            return _check_year(_from_epoch(value))
        return _check_year(_parse_text(value.strip(), default_zone)) if isinstance(value, str) else None
    except (ValueError, OverflowError, OSError):
        return None


def _from_epoch(value: float) -> datetime:
    unit = next((unit for limit, unit in _EPOCH_UNITS if value <= limit), 1)  # NaN is within no limit
    return datetime.fromtimestamp(value / unit, UTC)


def _parse_text(text: str, default_zone: tzinfo | None) -> datetime:
    if len(text) > 100:
        raise ValueError("too long for a time")
    if (usual := _parse_iso(text)) and usual.tzinfo:
        return usual
    if _NUMBER.fullmatch(text):
        return _from_epoch(float(text))
    if found := _JAVASCRIPT.fullmatch(text):
        month, day, year, clock, offset, _ = found.groups()
        text = f"{day} {month} {year} {clock} {offset}"
    without_leap = _LEAP_SECOND.sub(r"\g<1>59", text)
    parsed = _parse_calendar(without_leap)
    if parsed.tzinfo is None:
        if default_zone is None:
            raise ValueError("a time without a zone")
        parsed = parsed.replace(tzinfo=default_zone)
    return parsed + timedelta(seconds=without_leap != text)


def _parse_iso(text: str) -> datetime | None:
    if text[4:5] != "-":  # digits alone are a number
        return None
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None


def _parse_calendar(text: str) -> datetime:
    zone = None
    if found := _ZONE.fullmatch(text):
        zone = _find_zone(found[2])
        text = found[1] if zone else text
    parsed = _parse_iso(text) or parsedate_to_datetime(text)
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=zone)


def _find_zone(name: str) -> tzinfo | None:
    if name.upper() in ("Z", "UTC", "GMT"):
        return UTC
    if name in _ZONE_HOURS:
        return timezone(timedelta(hours=_ZONE_HOURS[name]))
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, LookupError):  # unknown, or a folder of the time zone database
        return None
