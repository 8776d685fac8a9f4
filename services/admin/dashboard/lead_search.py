"""The search on the page of leads: the filters, their URL and their texts on the page. No I/O."""

from collections.abc import Callable, Iterator
from typing import Annotated, Any, Final, Literal
from zoneinfo import ZoneInfo

from fastapi.exceptions import RequestValidationError
from pydantic import BeforeValidator, ConfigDict, ValidationError, model_validator

from services.admin.dashboard.fields import BlankAsNone
from services.admin.dashboard.labels import state_name
from services.admin.dashboard.paging import last_cursor, page_url
from services.admin.schemas.filters import LeadFilter, LeadOrder
from services.admin.schemas.lead_conditions import PEOPLE, LeadConditions
from services.admin.schemas.periods import Period
from services.admin.texts import gettext, gettext_noop, ngettext

LEADS: Final = "/admin/ui/leads"
PAGE_ROWS: Final = 25
WAITING_HOURS: Final = (4, 24, 72, 168)
_FILTERS: Final = {
    "site": gettext_noop("Site: %(value)s"),
    "status": gettext_noop("Status: %(value)s"),
    "service": gettext_noop("Service: %(value)s"),
    "assignee": gettext_noop("Assignee: %(value)s"),
    "campaign": gettext_noop("Campaign: %(value)s"),
    "received": gettext_noop("Received: %(value)s"),
    "source": gettext_noop("Last touch: %(value)s"),
    "first_source": gettext_noop("First touch: %(value)s"),
    "landing_page": gettext_noop("Landing page: %(value)s"),
    "waiting": gettext_noop("Unanswered: %(value)s"),
    "since": gettext_noop("From: %(value)s"),
    "until": gettext_noop("To: %(value)s"),
}
PERIODS: Final[dict[Period, str]] = {
    "today": gettext_noop("Today"),
    "yesterday": gettext_noop("Yesterday"),
    "this_week": gettext_noop("This week"),
    "last_week": gettext_noop("Last week"),
    "last_7_days": gettext_noop("Last 7 days"),
    "this_month": gettext_noop("This month"),
    "last_month": gettext_noop("Last month"),
}

Rows = Annotated[Literal[25, 50, 100], BeforeValidator(lambda value: int(str(value)))]


class LeadQuery(LeadConditions):
    """The filters of the list of leads, and the page to show.

    None of the fields is personal data, so a URL may contain them.
    """

    model_config = ConfigDict(frozen=True)

    rows: BlankAsNone[Rows] = None
    cursor: BlankAsNone[str] = None

    @model_validator(mode="before")
    @classmethod
    def _drop_blank_fields(cls, fields: dict[str, Any]) -> dict[str, Any]:
        # Browsers send an empty text for a field that was left empty.
        texts = {name: value for name, value in fields.items() if value is not None and value != ""}
        if "status" in texts:
            texts["status"] = tuple(dict.fromkeys(value for value in texts["status"] if value))
        return {
            name: value for name, value in texts.items() if not (isinstance(value, str) and value.isspace())
        }

    def url(self, zone: ZoneInfo, **changes: Any) -> str:
        """Return the URL of the list of leads with these filters. `changes` replace some of the filters.

        The URL also contains the time zone of the filters' dates. It contains no search words.
        """
        shown = self.model_copy(update=changes)
        view = {
            "sort": shown.sort if shown.sort != "received" else None,
            "rows": shown.rows if shown.rows != PAGE_ROWS else None,
        }
        return page_url(LEADS, shown.conditions() | view, shown.cursor, zone.key)


class LeadSearch(LeadQuery):
    """The search form: the filters, and the search words `q`."""

    q: BlankAsNone[str] = None

    def has_word(self) -> bool:
        """Return True if the search words contain a letter or a digit.

        Search words without a letter and without a digit find no lead.
        """
        return any(map(str.isalnum, self.q or ""))

    def hidden_fields(self) -> list[tuple[str, str]]:
        """Return the filters and search words as pairs of name and value.

        A form that acts on the leads of this search has these pairs as hidden fields.
        """
        fields = self.conditions() | ({"q": self.q} if self.q else {})
        return [
            (name, value)
            for name, values in fields.items()
            for value in (values if isinstance(values, list) else [values])
        ]

    def search_filter(self, zone: ZoneInfo, actor: str) -> LeadFilter:
        """Return the search as the store's filter. Raises `RequestValidationError` for an invalid field.

        The assignee `ME` stands for the admin `actor`.
        """
        page = {"limit": self.rows or PAGE_ROWS, "q": self.q, "cursor": last_cursor(self.cursor)}
        try:
            return self.to_filter(zone, actor, page)
        except ValidationError as error:
            raise RequestValidationError(error.errors()) from error


def chips(search: LeadSearch, site_name: Callable[[str], str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield a pair for each filter value: its text, and the changes to the search that remove the value."""
    words: dict[str, Callable[[str], str]] = {
        "site": site_name,
        "status": state_name,
        "waiting": lambda hours: over_text(int(hours)),
        "received": lambda period: gettext(PERIODS[period]),  # type: ignore[index]
        "assignee": lambda name: gettext(PEOPLE[name]) if name in PEOPLE else name,
    }
    for name, value in search.conditions().items():
        for each in value if isinstance(value, list) else [value]:
            text = words[name](each) if name in words else each
            rest = tuple(other for other in search.status if other != each) if name == "status" else None
            yield gettext(_FILTERS[name], value=text), {name: rest}


def over_text(hours: int) -> str:
    """Return the text for a minimum waiting time, such as `over 3 days`."""
    if hours % 24 == 0:
        return ngettext("over %(count)s day", "over %(count)s days", hours // 24)
    return ngettext("over %(count)s hour", "over %(count)s hours", hours)


def people_names() -> dict[str, str]:
    """Return the names that pages show for the assignees `ME` and `NOBODY`, keyed by assignee."""
    return {value: gettext(name) for value, name in PEOPLE.items()}


def period_names() -> dict[Period, str]:
    """Return the name that pages show for each period."""
    return {period: gettext(name) for period, name in PERIODS.items()}


# The columns by which the list can be sorted: ascending, descending, and which of them the first click gives.
COLUMN_ORDERS: Final[dict[str, tuple[LeadOrder, LeadOrder, int]]] = {
    "lead": ("name", "name_desc", 0),
    "status": ("status", "status_desc", 0),
    "assignee": ("assignee", "assignee_desc", 0),
    "received": ("oldest", "received", 1),
    "updated": ("updated_asc", "updated", 1),
}


def column_orders(shown: LeadOrder) -> dict[str, tuple[str, LeadOrder]]:
    """Return two values for each sortable column, keyed by the column.

    The first is the value of `aria-sort`. The second is the order that a click on the column selects.
    """
    orders = {}
    for column, (ascending, descending, first) in COLUMN_ORDERS.items():
        if shown == ascending:
            orders[column] = ("ascending", descending)
        elif shown == descending:
            orders[column] = ("descending", ascending)
        else:
            orders[column] = ("none", (ascending, descending)[first])
    return orders
