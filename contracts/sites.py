"""What a website's own queue answers: the leads that it could not deliver, for the flusher to fetch.

`GET <queue>?limit=n` answers a `SiteQueuePage`, oldest first; `DELETE <queue>/<id>` removes an entry (204,
or 404 where it is gone already). Both behind a Bearer token of the queue's own.
"""

import re
from datetime import UTC, datetime
from typing import Annotated, Any, Final

from pydantic import AfterValidator, AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, JsonValue
from pydantic.alias_generators import to_camel

PAGE_MAX_ENTRIES: Final = 100

_ERROR_CODE: Final = re.compile(r"[A-Za-z0-9_]{1,40}")
_TRACEPARENT: Final = re.compile(r"[0-9a-f]{2}(-[0-9a-f]{32})(-[0-9a-f]{16})-[0-9a-f]{2}")


def _traceparent(value: object) -> str | None:
    """Leave out what is none: it becomes a header, and no lead is refused for its trace's sake."""
    return value if isinstance(value, str) and _TRACEPARENT.fullmatch(value) else None


_EARLIEST: Final = datetime(2000, 1, 1, tzinfo=UTC)
_LATEST: Final = datetime(2100, 1, 1, tzinfo=UTC)


def _within_reason(value: datetime) -> datetime:
    """Clamp a time from a clock that is wrong: year 1 has no equal in UTC, and no lead is refused for it."""
    return min(max(value, _EARLIEST), _LATEST).astimezone(UTC)


SiteTime = Annotated[AwareDatetime, AfterValidator(_within_reason)]
# More than any website holds, and still an integer for whoever reads it.
Count = Annotated[int, Field(ge=0, le=1_000_000_000)]


def _error_code(value: object) -> str | None:
    """Leave out what is no code, such as EACCES: the entries beside it are read all the same."""
    return value if isinstance(value, str) and _ERROR_CODE.fullmatch(value) else None


_CAMEL = ConfigDict(frozen=True, extra="ignore", alias_generator=to_camel, validate_by_name=True)


class SiteQueueEntry(BaseModel):
    """One submission as the website keeps it: `body` is what it posts to the gateway, under that key."""

    model_config = _CAMEL

    # It becomes a part of a URL's path.
    id: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,100}$")]
    idempotency_key: Annotated[str, Field(pattern=r"^[\x21-\x7e]{1,255}$")]
    queued_at: SiteTime
    traceparent: Annotated[str | None, BeforeValidator(_traceparent)] = None
    body: JsonValue


class SiteQueuePage(BaseModel):
    """The oldest entries, and how many there are in all. Each entry is judged by itself."""

    model_config = _CAMEL

    # Any, not JsonValue: that refuses the whole page for one body that is nested too deep.
    entries: list[Any] = Field(max_length=PAGE_MAX_ENTRIES)
    depth: Count
    oldest_queued_at: SiteTime | None = None
    # Files that the website's disk has damaged, set aside there for people.
    damaged: Count = 0
    # Why the website could not write a test file into its queue's folder: the next lead would be refused.
    write_error: Annotated[str | None, BeforeValidator(_error_code)] = None
