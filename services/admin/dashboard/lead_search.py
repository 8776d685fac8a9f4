"""The search on the page of leads: its filters, their URL, and what they are called. No I/O."""

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any, Final, Literal
from zoneinfo import ZoneInfo

from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from contracts.leads import LeadStatus
from services.admin.dashboard.fields import BlankAsNone
from services.admin.dashboard.formatting import plural, state_name
from services.admin.dashboard.paging import last_cursor, page_url
from services.admin.dashboard.timezone import midnight
from services.admin.schemas.filters import LeadFilter, LeadOrder

LEADS: Final = "/admin/ui/leads"
PAGE_ROWS: Final = 25
FILTERS: Final = (
    "status",
    "service",
    "site",
    "source",
    "first_source",
    "campaign",
    "landing_page",
    "assignee",
    "waiting",
    "since",
    "until",
)
ME: Final = "@me"
NOBODY: Final = "@nobody"
WAITING_HOURS: Final = (4, 24, 72, 168)

Rows = Annotated[Literal[25, 50, 100], BeforeValidator(lambda value: int(str(value)))]


class LeadQuery(BaseModel):
    """Filters without personal data, which a URL may contain.

    Dates are in the viewer's time zone, and the day `until` is included. `assignee` is a name, or `ME` or
    `NOBODY`. `waiting` selects new leads that are older than so many hours.
    """

    model_config = ConfigDict(frozen=True)

    status: BlankAsNone[LeadStatus] = None
    service: BlankAsNone[str] = None
    site: BlankAsNone[str] = None
    source: BlankAsNone[str] = None
    first_source: BlankAsNone[str] = None
    campaign: BlankAsNone[str] = None
    landing_page: BlankAsNone[str] = None
    assignee: BlankAsNone[str] = None
    waiting: BlankAsNone[Annotated[int, Field(ge=1, le=8760)]] = None
    since: BlankAsNone[date] = None
    until: BlankAsNone[date] = None
    sort: BlankAsNone[LeadOrder] = None
    rows: BlankAsNone[Rows] = None
    cursor: BlankAsNone[str] = None

    def filters(self) -> dict[str, str]:
        """Return the filters that are set, as texts by name."""
        values = self.model_dump(mode="json", include=set(FILTERS), exclude_none=True)
        return {name: str(values[name]) for name in FILTERS if name in values}

    def url(self, zone: ZoneInfo, **changes: Any) -> str:
        """Return the URL of the list with these changes. It has the dates' zone, and no search words."""
        shown = self.model_copy(update=changes)
        view = {
            "sort": shown.sort if shown.sort != "received" else None,
            "rows": shown.rows if shown.rows != PAGE_ROWS else None,
        }
        return page_url(LEADS, shown.filters() | view, shown.cursor, zone.key)


class LeadSearch(LeadQuery):
    """The search form: the filters, and the search words `q`."""

    q: BlankAsNone[str] = None

    def hidden_fields(self) -> dict[str, str]:
        """Return the filters and the words, for the hidden fields of a form about the same leads."""
        return self.filters() | ({"q": self.q} if self.q else {})

    def to_filter(self, zone: ZoneInfo, actor: str = "") -> LeadFilter:
        """Return the search as the store's filter. Raises `RequestValidationError` for an invalid field.

        `actor` is who `ME` is.
        """
        until = midnight(self.until, zone, days=1) if self.until else None
        if self.waiting:
            before = datetime.now(UTC) - timedelta(hours=self.waiting)
            until = min(until, before) if until else before
        assignee = actor if self.assignee == ME else None if self.assignee == NOBODY else self.assignee
        try:
            return LeadFilter(
                limit=self.rows or PAGE_ROWS,
                status_filter=LeadStatus.RECEIVED if self.waiting else self.status,
                q=self.q,
                service=self.service,
                site=self.site,
                source=self.source,
                first_source=self.first_source,
                campaign=self.campaign,
                landing_page=self.landing_page,
                assignee=assignee,
                unassigned=self.assignee == NOBODY,
                since=midnight(self.since, zone) if self.since else None,
                until=until,
                sort=self.sort or "received",
                cursor=last_cursor(self.cursor),
            )
        except ValidationError as error:
            raise RequestValidationError(error.errors()) from error


def chips(search: LeadSearch, site_name: Callable[[str], str]) -> Iterator[tuple[str, str]]:
    """Yield the name and the text of each filter that is set."""
    words: dict[str, Callable[[str], str]] = {
        "site": site_name,
        "status": state_name,
        "waiting": lambda hours: f"over {_hours(int(hours))}",
    }
    people = {ME: "me", NOBODY: "nobody"}
    labels = {
        "source": "Last touch",
        "first_source": "First touch",
        "landing_page": "Landing page",
        "waiting": "Unanswered",
        "since": "From",
        "until": "To",
    }
    for name, value in search.filters().items():
        text = words[name](value) if name in words else people.get(value, value)
        yield name, f"{labels.get(name, name.capitalize())}: {text}"


def _hours(hours: int) -> str:
    return plural(hours // 24, "day") if hours % 24 == 0 else plural(hours, "hour")


# The columns by which the list can be sorted: ascending, descending, and which of them the first click gives.
COLUMN_ORDERS: Final[dict[str, tuple[LeadOrder, LeadOrder, int]]] = {
    "Lead": ("name", "name_desc", 0),
    "Status": ("status", "status_desc", 0),
    "Assignee": ("assignee", "assignee_desc", 0),
    "Received": ("oldest", "received", 1),
    "Last change": ("updated_asc", "updated", 1),
}


def column_orders(shown: LeadOrder) -> dict[str, tuple[str, LeadOrder]]:
    """Return the value of `aria-sort` of each sortable column, and the order that a click on it gives."""
    orders = {}
    for column, (ascending, descending, first) in COLUMN_ORDERS.items():
        if shown == ascending:
            orders[column] = ("ascending", descending)
        elif shown == descending:
            orders[column] = ("descending", ascending)
        else:
            orders[column] = ("none", (ascending, descending)[first])
    return orders


def date_presets(today: date) -> list[tuple[str, date, date]]:
    """Return the names of periods, with their first and last days."""
    monday = today - timedelta(days=today.weekday())
    return [
        ("Today", today, today),
        ("Yesterday", today - timedelta(days=1), today - timedelta(days=1)),
        ("This week", monday, today),
        ("Last 7 days", today - timedelta(days=6), today),
        ("This month", today.replace(day=1), today),
    ]
