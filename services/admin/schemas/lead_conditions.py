"""The conditions and the order of a list of leads. They contain no personal data.

They are stored in the URL of the list and in saved views. A period such as `yesterday` is stored by its name,
so that it stays correct on later days. Search words are not included.
"""

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any, Final
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from contracts.leads import LeadStatus
from services.admin.schemas.filters import (
    Campaign,
    FirstSource,
    LeadFilter,
    LeadOrder,
    Service,
    Site,
    Source,
    Text,
)
from services.admin.schemas.periods import Period, midnight, period_days
from services.admin.texts import gettext, gettext_noop

ME: Final = "@me"
NOBODY: Final = "@nobody"
CONDITIONS: Final = (
    "status",
    "service",
    "site",
    "source",
    "first_source",
    "campaign",
    "landing_page",
    "assignee",
    "waiting",
    "received",
    "since",
    "until",
)
# What the filter's field shows for the two, and what people type into it.
PEOPLE: Final = {ME: gettext_noop("Me"), NOBODY: gettext_noop("Unassigned")}


def _person(value: str) -> str:
    typed = {gettext(name).lower(): person for person, name in PEOPLE.items()}
    return typed.get(value.lower(), value)


class LeadConditions(BaseModel):
    """The filters of a list of leads, and its order. A lead must match all filters.

    Days are in the viewer's time zone, and the day `until` is included.
    """

    model_config = ConfigDict(frozen=True)

    status: Annotated[
        tuple[LeadStatus, ...],
        Field(max_length=len(LeadStatus), description="One of these statuses; none: any status."),
    ] = ()
    service: Service = None
    site: Site = None
    source: Source = None
    first_source: FirstSource = None
    campaign: Campaign = None
    landing_page: Annotated[
        Text | None, Field(description="The landing page without its query and fragment.")
    ] = None
    assignee: Annotated[
        Annotated[Text, AfterValidator(_person)] | None,
        Field(description=f"A name; `{ME}` is who looks at the list, `{NOBODY}` leads without an assignee."),
    ] = None
    waiting: Annotated[
        Annotated[int, Field(ge=1, le=8760)] | None,
        Field(description="Only new leads that are older than so many hours."),
    ] = None
    received: Annotated[Period | None, Field(description="A period that moves with the current day.")] = None
    since: Annotated[date | None, Field(description="Not before this day.")] = None
    until: Annotated[date | None, Field(description="Not after this day.")] = None
    sort: LeadOrder | None = None

    def conditions(self) -> dict[str, str | list[str]]:
        """Return the filters that are set, by name. Each value is a text or a list of texts."""
        values = self.model_dump(mode="json", include=set(CONDITIONS), exclude_none=True)
        return {
            name: value if isinstance(value := values[name], list) else str(value)
            for name in CONDITIONS
            if values.get(name)
        }

    def to_filter(self, zone: ZoneInfo, actor: str, page: Mapping[str, Any] | None = None) -> LeadFilter:
        """Return the filter that the store uses. A period such as `yesterday` refers to the current day.

        `actor` replaces the assignee `ME`. `page` contains other fields of the filter, such as `cursor`.
        Raises `ValidationError` if these fields are invalid.
        """
        since, until = self._bounds(zone)
        if self.waiting:
            before = datetime.now(UTC) - timedelta(hours=self.waiting)
            until = min(until, before) if until else before
        assignee = actor if self.assignee == ME else None if self.assignee == NOBODY else self.assignee
        return LeadFilter(
            status_filter=(LeadStatus.RECEIVED,) if self.waiting else self.status,
            service=self.service,
            site=self.site,
            source=self.source,
            first_source=self.first_source,
            campaign=self.campaign,
            landing_page=self.landing_page,
            assignee=assignee,
            unassigned=self.assignee == NOBODY,
            since=since,
            until=until,
            sort=self.sort or "received",
            **(page or {}),
        )

    def _bounds(self, zone: ZoneInfo) -> tuple[datetime | None, datetime | None]:
        """Return when the first day begins and when the last day ends. None means that there is no limit."""
        firsts, lasts = [self.since], [self.until]
        if self.received:
            first, last = period_days(self.received, datetime.now(zone).date())
            firsts.append(first)
            lasts.append(last)
        since = max((day for day in firsts if day), default=None)
        until = min((day for day in lasts if day), default=None)
        return (
            midnight(since, zone) if since else None,
            midnight(until, zone, days=1) if until else None,
        )
