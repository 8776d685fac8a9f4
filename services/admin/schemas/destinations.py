"""Destinations: the other systems that receive leads."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

DestinationState = Literal["healthy", "paused", "disabled", "removed"]


class LastTest(BaseModel):
    """The delivery of a test event. `duration_ms` is the duration of the last request."""

    model_config = ConfigDict(frozen=True)

    event_id: UUID
    state: str
    attempts: int
    status_code: int | None
    reason: str | None
    response: Annotated[str | None, Field(description="The first 1,024 characters of the last response.")]
    duration_ms: int | None
    next_attempt_at: datetime | None
    created_at: datetime
    updated_at: datetime


class DestinationSummary(BaseModel):
    """A destination without its secret: its state and the numbers of its deliveries."""

    model_config = ConfigDict(frozen=True)

    name: str
    kind: Annotated[str | None, Field(description="Null if the sites file no longer has the destination.")]
    state: Annotated[
        DestinationState,
        Field(
            description="`paused` after failures in a row: one delivery at a time is tried. `disabled` by a"
            " 410 or an admin, and `removed` from the sites file: deliveries wait."
        ),
    ]
    since: Annotated[datetime | None, Field(description="Since when it is paused or disabled.")]
    reason: Annotated[str | None, Field(description="Why it is paused or disabled.")]
    paused_until: Annotated[datetime | None, Field(description="When the next delivery is tried.")]
    waiting: Annotated[int, Field(description="Deliveries that wait, at most 10,000.")]
    retrying: Annotated[
        int,
        Field(description="Of `waiting`: deliveries that failed and have retries left, at most 10,000."),
    ]
    dead: Annotated[int, Field(description="Deliveries without retries left, at most 10,000.")]
    delivered_last_day: Annotated[int, Field(description="Delivered in the last 24 hours, at most 10,000.")]
    oldest_waiting_at: Annotated[datetime | None, Field(description="When the oldest of them was created.")]
    duration_p50_ms: Annotated[
        int | None,
        Field(
            description="The median duration of the requests that delivered, in the last 24 hours; of the"
            " newest 1,000. Null if there was none."
        ),
    ]
    duration_p95_ms: Annotated[int | None, Field(description="The 95th percentile of the same durations.")]
    last_success_at: datetime | None
    last_failure_at: datetime | None
    last_failure_reason: str | None
    last_test: Annotated[LastTest | None, Field(description="The last test event that an admin sent.")]


class DestinationList(BaseModel):
    """All destinations of the sites file, and those that were removed from the file, sorted by name."""

    model_config = ConfigDict(frozen=True)

    destinations: list[DestinationSummary]


class SentTest(BaseModel):
    """The id of a test event. The receiver gets it as `webhook-id`."""

    model_config = ConfigDict(frozen=True)

    event_id: UUID


class Retried(BaseModel):
    """The number of deliveries that are resent now (`retried`).

    `left` is the number of other failed and dead deliveries that can be resent. It is at most 10,000.
    """

    model_config = ConfigDict(frozen=True)

    retried: int
    left: int


class LeadDelivery(BaseModel):
    """A delivery of one of a lead's events."""

    model_config = ConfigDict(frozen=True)

    event_id: UUID
    event: str
    destination: str
    state: str
    attempts: int
    status_code: int | None
    reason: str | None
    response: Annotated[str | None, Field(description="The first 1,024 characters of the last response.")]
    duration_ms: Annotated[int | None, Field(description="The duration of the last request.")]
    next_attempt_at: datetime | None
    created_at: datetime
    updated_at: datetime
    delivered_at: datetime | None
    held_up_by: Annotated[
        Literal["paused", "disabled"] | None,
        Field(description="The state of the destination, if the delivery waits for the end of that state."),
    ]


class LeadDeliveries(BaseModel):
    """A lead's deliveries to destinations, in the order of its events."""

    model_config = ConfigDict(frozen=True)

    deliveries: list[LeadDelivery]
