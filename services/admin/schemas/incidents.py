"""Incidents: failures that lasted for at least two minutes."""

from datetime import datetime, timedelta
from typing import Annotated, Final, Literal, get_args
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from contracts.audit import ACTOR_MAX_LENGTH
from services.admin.schemas.filters import Filter, Limit, Text

Severity = Literal["bad", "amber"]
SEVERITIES: Final[tuple[Severity, ...]] = get_args(Severity)
# A failure that is gone at the next poll is no incident: a restart, or a network that stutters.
LASTS_AFTER: Final = timedelta(minutes=2)


class Sighting(BaseModel):
    """A failure that an admin process sees now.

    `key` identifies the failure. Numbers in `reason` change, so the key does not contain them.
    """

    model_config = ConfigDict(frozen=True)

    key: str
    component: str
    reason: str
    severity: Severity
    url: str
    affected_leads: int | None


class Incident(BaseModel):
    """A failure that lasted for two minutes or more."""

    model_config = ConfigDict(frozen=True)

    id: UUID
    component: str
    reason: Annotated[str, Field(description="What was wrong when it was last seen.")]
    severity: Severity
    url: Annotated[str, Field(description="The page where an admin can act; may be empty.")]
    affected_leads: Annotated[int | None, Field(description="The most that were seen; null if unknown.")]
    first_seen_at: datetime
    last_seen_at: datetime
    owner: str | None
    acknowledged_at: datetime | None
    resolved_at: datetime | None
    resolved_by: Annotated[str | None, Field(description="An actor; `fastcore` if the failure is gone.")]


class IncidentList(BaseModel):
    """Incidents: the open ones first, then the resolved ones. Both groups are sorted newest first."""

    model_config = ConfigDict(frozen=True)

    incidents: list[Incident]


class IncidentFilter(Filter):
    """Selects incidents."""

    state: Literal["open", "resolved"] | None = None
    limit: Limit = 50


class Acknowledgement(BaseModel):
    """The person who takes care of an incident."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    owner: Annotated[
        Annotated[Text, Field(max_length=ACTOR_MAX_LENGTH)] | None,
        Field(description="By default the actor of this request."),
    ] = None
