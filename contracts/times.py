"""Field types for points in time. All are aware and in UTC.

The limits exist because a time zone overflows near the ends of the calendar, and because asyncpg stores the
first and the last moments as infinity, which it reads back without a time zone.
"""

from datetime import UTC, datetime
from typing import Annotated, Final

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
"""A time that is moved into the years 1970 to 2199. For records that are kept whatever their clock says."""
