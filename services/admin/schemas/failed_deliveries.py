"""Failed deliveries to destinations: their groups, the rows of a group, and the filters."""

from datetime import datetime
from typing import Annotated, Any, Final, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from services.admin.schemas.filters import Filter, Limit, Since, Text, Until, UuidCursor, after

MAX_COUNTED: Final = 10_000
"""The largest number of deliveries that is shown for a group."""
DestinationName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{0,49}$")]
FAILED_STATES: Final = ("failed", "dead")
FailedState = Annotated[
    Literal["failed", "dead"],
    Field(description="`failed` waits for its next retry. `dead` has no retry left."),
]


class FailedDeliveries(Filter):
    """Selects failed deliveries of a destination by event type, reason, state and time.

    `since` and `until` are compared with the time of the last attempt.
    """

    event: Text | None = None
    reason: Text | None = None
    state: FailedState | None = None
    since: Since = None
    until: Until = None

    def selection(self) -> dict[str, Any]:
        """Return the SQL parameters of the filter."""
        return self.model_dump(include=set(FailedDeliveries.model_fields))


class DeliveryFilter(FailedDeliveries):
    """Selects failed deliveries of a destination, and one page of them."""

    destination: DestinationName
    limit: Limit = 50
    cursor: UuidCursor = None

    def after(self) -> dict[str, Any]:
        """Return the SQL parameters of the page."""
        return after(self.cursor)


class GroupQuery(Filter):
    """Selects the groups of one destination, or by default of all destinations."""

    destination: DestinationName | None = None


class DeliveryGroup(BaseModel):
    """Deliveries to one destination that failed for the same reason."""

    model_config = ConfigDict(frozen=True)

    destination: str
    event: str
    reason: str
    state: FailedState
    deliveries: Annotated[
        int, Field(description=f"How many, at most {MAX_COUNTED:,}; fewer if there are many groups.")
    ]
    has_more: Annotated[bool, Field(description="There are more than `deliveries`.")]
    oldest_at: Annotated[
        datetime, Field(description="The last attempt of the one that was not tried longest.")
    ]
    newest_at: Annotated[datetime, Field(description="The last attempt of all.")]


class DeliveryGroups(BaseModel):
    """The groups of failed deliveries, by destination, event, reason and state (500 at most)."""

    model_config = ConfigDict(frozen=True)

    groups: list[DeliveryGroup]


class FailedDelivery(BaseModel):
    """A failed delivery, and its lead's name. The name is null if the lead is erased or not stored."""

    model_config = ConfigDict(frozen=True)

    event_id: UUID
    lead_id: UUID
    lead_name: str | None
    destination: str
    event: str
    reason: str
    state: FailedState
    status_code: int | None
    attempts: int
    failed_at: datetime
    next_attempt_at: datetime | None


class DeliveryPage(BaseModel):
    """A page of failed deliveries, the most recent failure first."""

    model_config = ConfigDict(frozen=True)

    deliveries: list[FailedDelivery]
    limit: int
    next_cursor: str | None
