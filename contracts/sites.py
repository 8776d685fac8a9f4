"""The API of a website's own queue, which holds the leads that the website could not deliver.

`GET <queue>?limit=n` returns a `SiteQueuePage`, oldest entry first. `DELETE <queue>/<id>` removes an entry
and returns 204, or 404 if it does not exist. Both require the queue's bearer token.
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
    """Drop a malformed `traceparent`: a lead must not be lost because of its trace context."""
    return value if isinstance(value, str) and _TRACEPARENT.fullmatch(value) else None


_EARLIEST: Final = datetime(2000, 1, 1, tzinfo=UTC)
_LATEST: Final = datetime(2100, 1, 1, tzinfo=UTC)


def _clamp(value: datetime) -> datetime:
    """Move a time into the years 2000 to 2100: a lead must not be lost because of a wrong clock."""
    return min(max(value, _EARLIEST), _LATEST).astimezone(UTC)


SiteTime = Annotated[AwareDatetime, AfterValidator(_clamp)]
# More than any website holds, and small enough for a 32-bit integer.
Count = Annotated[int, Field(ge=0, le=1_000_000_000)]


def _error_code(value: object) -> str | None:
    """Return an error code such as EACCES, or None for any other value.

    An invalid code must not prevent the import of the leads on the same page of the queue.
    """
    return value if isinstance(value, str) and _ERROR_CODE.fullmatch(value) else None


_CAMEL = ConfigDict(frozen=True, extra="ignore", alias_generator=to_camel, validate_by_name=True)


class SiteQueueEntry(BaseModel):
    """A queued submission. The flusher posts `body` to the gateway under `idempotency_key`."""

    model_config = _CAMEL

    # Becomes a part of a URL's path.
    id: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,100}$")]
    idempotency_key: Annotated[str, Field(pattern=r"^[\x21-\x7e]{1,255}$")]
    queued_at: SiteTime
    traceparent: Annotated[str | None, BeforeValidator(_traceparent)] = None
    body: JsonValue


class SiteQueuePage(BaseModel):
    """One page of a website's queue: its oldest entries, and the number of all entries (`depth`).

    The entries are validated one by one later, so that an invalid entry does not affect the others.
    """

    model_config = _CAMEL

    # Any instead of JsonValue, which would reject the whole page because of one body that is nested too
    # deeply.
    entries: list[Any] = Field(max_length=PAGE_MAX_ENTRIES)
    depth: Count
    oldest_queued_at: SiteTime | None = None
    # The number of damaged files in the queue, which the website keeps for a person to look at.
    damaged: Count = 0
    # Why the website cannot write to its queue: it would lose the next lead.
    write_error: Annotated[str | None, BeforeValidator(_error_code)] = None
