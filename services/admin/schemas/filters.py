"""The query parameters of each route. A parameter that a route does not know is refused, not ignored."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, model_validator

from contracts.audit import AuditEvent
from contracts.failures import Kind, Stage
from contracts.leads import LeadStatus
from services.admin.store.cursors import as_utc, place, row_number, word_query

SettableStatus = Literal[
    LeadStatus.RECEIVED,
    LeadStatus.PROCESSING,
    LeadStatus.CONTACTED,
    LeadStatus.WON,
    LeadStatus.LOST,
    LeadStatus.SPAM,
]
QueueState = Literal["waiting", "replaying", "resolved", "dead", "archived"]


def _no_nul(value: str) -> str:
    # PostgreSQL's text cannot hold it.
    if "\x00" in value:
        msg = "must not contain NUL characters"
        raise ValueError(msg)
    return value


def _is_word_query(value: str) -> str:
    word_query(value)
    return value


def _is_place_of_uuid(value: str) -> str:
    place(value, UUID)
    return value


def _is_place_of_number(value: str) -> str:
    place(value, row_number)
    return value


Text = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=255), AfterValidator(_no_nul)
]
Time = Annotated[datetime, AfterValidator(as_utc)]
Limit = Annotated[int, Field(ge=1, le=200, description="Rows of one page.")]
Since = Annotated[Time | None, Field(description="Not before this time; UTC where it has no zone.")]
Until = Annotated[Time | None, Field(description="Before this time; UTC where it has no zone.")]
SEARCH_OFFSET_AT_MOST = 200
_CURSOR = "The next_cursor of the page before."


class _Filter(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ExportFilter(_Filter):
    """Which leads."""

    status_filter: LeadStatus | None = None
    q: Annotated[
        Annotated[Text, AfterValidator(_is_word_query)] | None,
        Field(description="Beginnings of words in email, name and company; all must be there."),
    ] = None
    service: Text | None = None
    since: Since = None
    until: Until = None

    def selection(self) -> dict[str, Any]:
        """Return what the rows must match."""
        return {
            "status": self.status_filter,
            "words": word_query(self.q) if self.q else None,
            "service": self.service,
            "since": self.since,
            "until": self.until,
        }


class LeadFilter(ExportFilter):
    """Which leads, and which page of them."""

    limit: Limit = 50
    offset: Annotated[
        int, Field(ge=0, le=10_000, description="For deeper pages use cursor; at most 200 with q.")
    ] = 0
    cursor: Annotated[
        Annotated[Text, AfterValidator(_is_place_of_uuid)] | None, Field(description=_CURSOR)
    ] = None

    @model_validator(mode="after")
    def _search_is_not_deep(self) -> "LeadFilter":
        # What a search passes over has to be looked into, row by row.
        if self.q and self.offset > SEARCH_OFFSET_AT_MOST:
            msg = f"offset may be at most {SEARCH_OFFSET_AT_MOST} with q: for deeper pages use cursor"
            raise ValueError(msg)
        return self

    def after(self) -> dict[str, Any]:
        """Return the row after which the page begins."""
        last = place(self.cursor, UUID) if self.cursor else None
        return {"after_at": last and last.at, "after_id": last and last.id}


class QueueFilter(_Filter):
    """Which rows of the replay queue, and which page of them."""

    limit: Limit = 50
    stage: Stage | None = None
    kind: Kind | None = None
    state: QueueState | None = None
    reason: Text | None = None
    lead_id: UUID | None = None
    since: Since = None
    until: Until = None
    cursor: Annotated[
        Annotated[Text, AfterValidator(_is_place_of_uuid)] | None, Field(description=_CURSOR)
    ] = None

    def selection(self) -> dict[str, Any]:
        """Return what the rows must match, and where the page begins."""
        last = place(self.cursor, UUID) if self.cursor else None
        return {
            "stage": self.stage,
            "kind": self.kind,
            "state": self.state,
            "reason": self.reason,
            "lead_id": self.lead_id,
            "since": self.since,
            "until": self.until,
            "after_at": last and last.at,
            "after_id": last and last.id,
        }


class AuditFilter(_Filter):
    """Which entries of the audit log, and which page of them."""

    limit: Limit = 50
    event: AuditEvent | None = None
    lead_id: UUID | None = None
    request_id: Text | None = None
    actor: Text | None = None
    since: Since = None
    until: Until = None
    cursor: Annotated[
        Annotated[Text, AfterValidator(_is_place_of_number)] | None, Field(description=_CURSOR)
    ] = None

    def selection(self) -> dict[str, Any]:
        """Return what the entries must match, and where the page begins."""
        last = place(self.cursor, row_number) if self.cursor else None
        return {
            "event": self.event,
            "lead_id": self.lead_id,
            "request_id": self.request_id,
            "actor": self.actor,
            "since": self.since,
            "until": self.until,
            "after_at": last and last.at,
            "after_id": last and last.id,
        }


class StatusChangeQuery(_Filter):
    """The new status, and the one that the admin saw."""

    new_status: SettableStatus
    expected: Annotated[
        LeadStatus | None, Field(description="Refuse with 409 where the lead has another by now.")
    ] = None


class StageFilter(_Filter):
    """One stage, or all of them."""

    stage: Stage | None = None
