"""The query parameters of each route. Unknown parameters are refused with 422, not ignored."""

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationInfo,
    field_validator,
    model_validator,
)

from contracts.audit import AuditEvent
from contracts.failures import Kind, Stage
from contracts.leads import LeadStatus
from services.admin.schemas.cursors import SortPosition, as_utc, parse_bigint, parse_cursor, parse_sort_cursor
from services.admin.schemas.search_terms import NO_SEARCH, search_parameters
from services.admin.texts import gettext_noop

SettableStatus = Literal[
    LeadStatus.RECEIVED,
    LeadStatus.PROCESSING,
    LeadStatus.CONTACTED,
    LeadStatus.WON,
    LeadStatus.LOST,
    LeadStatus.SPAM,
]
LeadOrder = Literal[
    "received",
    "oldest",
    "name",
    "name_desc",
    "status",
    "status_desc",
    "assignee",
    "assignee_desc",
    "updated",
    "updated_asc",
]
QueueState = Literal["waiting", "replaying", "resolved", "dead", "archived"]


def _without_nul(value: str) -> str:
    # PostgreSQL's type text cannot hold NUL.
    if "\x00" in value:
        msg = gettext_noop("must not contain NUL characters")
        raise ValueError(msg)
    return value


def _as_tuple(value: object) -> object:
    # A body may have one status, or null, instead of a list.
    return () if value is None else (value,) if isinstance(value, str) else value


def _is_uuid_cursor(value: str) -> str:
    parse_cursor(value, UUID)
    return value


def _is_number_cursor(value: str) -> str:
    parse_cursor(value, parse_bigint)
    return value


Text = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=255), AfterValidator(_without_nul)
]
Time = Annotated[datetime, AfterValidator(as_utc)]
Limit = Annotated[int, Field(ge=1, le=200, description="Rows per page.")]
Since = Annotated[Time | None, Field(description="Not before this time; UTC if it has no zone.")]
Until = Annotated[Time | None, Field(description="Before this time; UTC if it has no zone.")]
CURSOR_FIELD = Field(description="The next_cursor of the previous page.")
UuidCursor = Annotated[Annotated[Text, AfterValidator(_is_uuid_cursor)] | None, CURSOR_FIELD]
NumberCursor = Annotated[Annotated[Text, AfterValidator(_is_number_cursor)] | None, CURSOR_FIELD]
Service = Annotated[
    Text | None, Field(description="A service, or else a part of its name, in upper or lower case.")
]
Site = Annotated[Text | None, Field(description="The key of a website.")]
Source = Annotated[Text | None, Field(description="The campaign's utm_source of the last visit.")]
FirstSource = Annotated[
    Text | None,
    Field(description="The campaign's utm_source of the first visit; of the last if it has none."),
]
Campaign = Annotated[Text | None, Field(description="The utm_campaign of the last visit.")]
# A cursor may have an assignee of 200 characters.
LeadCursor = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=2000), AfterValidator(_without_nul)
]
MAX_SEARCH_OFFSET = 200


def after(cursor: str | None, parse_id: Callable[[str], UUID | int] = UUID) -> dict[str, Any]:
    """Return the SQL parameters for the position of `cursor`. They are None for the first page.

    `parse_id` returns the id in the cursor. Raises `ValueError` if the cursor is not valid.
    """
    position = parse_cursor(cursor, parse_id) if cursor else None
    return {"after_at": position and position.at, "after_id": position and position.id}


class Filter(BaseModel):
    """The base class of query parameters. It refuses parameters with unknown names."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ExportFilter(Filter):
    """Selects leads."""

    status_filter: Annotated[
        tuple[LeadStatus, ...],
        BeforeValidator(_as_tuple),
        Field(max_length=len(LeadStatus), description="Only leads with one of these statuses."),
    ] = ()
    q: Annotated[
        Text | None,
        Field(
            description="Words, or parts of words of three characters and more, of any field of a lead (one"
            " or two characters must follow a blank); or a phone number; or the lead's id, its beginning, or"
            " the reference in the emails; or the id of its request. All words must match, in any order; of"
            " more than six, the six longest. Case, accents, apostrophes and quotation marks do not matter,"
            " and `mueller` also finds `Müller`."
        ),
    ] = None
    service: Service = None
    site: Site = None
    source: Source = None
    first_source: FirstSource = None
    campaign: Campaign = None
    landing_page: Annotated[
        Text | None,
        Field(description="The landing page without its query and fragment, at most 200 characters."),
    ] = None
    assignee: Text | None = None
    unassigned: Annotated[bool, Field(description="Only leads without an assignee.")] = False
    since: Since = None
    until: Until = None

    def selection(self) -> dict[str, Any]:
        """Return the SQL parameters of the filter."""
        return {
            # For one status, an equality gives PostgreSQL a better plan than a list.
            "status": self.status_filter[0] if len(self.status_filter) == 1 else None,
            "statuses": self.status_filter if len(self.status_filter) > 1 else None,
            "left_out": None,
            "site": self.site,
            "source": self.source,
            "first_source": self.first_source,
            "campaign": self.campaign,
            "landing_page": self.landing_page,
            "assignee": self.assignee,
            "unassigned": self.unassigned or None,
            "service": self.service,
            "services": None,
            "since": self.since,
            "until": self.until,
            **(search_parameters(self.q) if self.q else NO_SEARCH),
        }


class LeadFilter(ExportFilter):
    """Filters the leads, and selects one page of the result."""

    limit: Limit = 50
    offset: Annotated[
        int, Field(ge=0, le=10_000, description="For deeper pages use cursor; at most 200 with q.")
    ] = 0
    sort: Annotated[
        LeadOrder,
        Field(description="The order; `received` is newest first, `updated` the last change first."),
    ] = "received"
    cursor: Annotated[LeadCursor | None, CURSOR_FIELD] = None

    @field_validator("cursor")
    @classmethod
    def _check_cursor(cls, cursor: str | None, info: ValidationInfo) -> str | None:
        # The field comes after `sort`. Without a valid one, the error is that of `sort`.
        if cursor and info.data.get("sort", "received") == "received":
            parse_cursor(cursor, UUID)
        elif cursor:
            parse_sort_cursor(cursor)
        return cursor

    def sort_position(self) -> SortPosition | None:
        """Return the position after which the page begins, or None for the first page.

        Do not call this for the order `received`, whose cursor is of another kind.
        """
        return parse_sort_cursor(self.cursor) if self.cursor else None

    @model_validator(mode="after")
    def _limit_search_offset(self) -> "LeadFilter":
        # A search reads each row that the offset skips.
        if self.q and self.offset > MAX_SEARCH_OFFSET:
            msg = f"offset may be at most {MAX_SEARCH_OFFSET} with q: for deeper pages use cursor"
            raise ValueError(msg)
        return self

    def after(self) -> dict[str, Any]:
        """Return the SQL parameters of the page."""
        return after(self.cursor)


class QueueFilter(Filter):
    """Filters the rows of the replay queue, and selects one page of the result."""

    limit: Limit = 50
    stage: Stage | None = None
    kind: Kind | None = None
    state: QueueState | None = None
    reason: Text | None = None
    lead_id: UUID | None = None
    since: Since = None
    until: Until = None
    cursor: UuidCursor = None

    def selection(self) -> dict[str, Any]:
        """Return the SQL parameters of the filter and of the page."""
        return self.model_dump(exclude={"limit", "cursor"}) | after(self.cursor)


class AuditFilter(Filter):
    """Filters the entries of the audit log, and selects one page of the result."""

    limit: Limit = 50
    event: AuditEvent | None = None
    lead_id: UUID | None = None
    request_id: Text | None = None
    actor: Text | None = None
    since: Since = None
    until: Until = None
    cursor: NumberCursor = None

    def selection(self) -> dict[str, Any]:
        """Return the SQL parameters of the filter and of the page."""
        return self.model_dump(exclude={"limit", "cursor"}) | after(self.cursor, parse_bigint)


class StatusChangeQuery(Filter):
    """The new status of a lead, and the status that the admin saw before the change."""

    new_status: SettableStatus
    expected: Annotated[
        LeadStatus | None, Field(description="Refuse with 409 if the lead has another status now.")
    ] = None


class StageFilter(Filter):
    """Selects one stage, or by default all stages."""

    stage: Stage | None = None
