"""Links to the views that the page of leads offers: built-in views, the admin's own and the team's."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final
from zoneinfo import ZoneInfo

from contracts.leads import LeadStatus
from services.admin.adapters import Adapters
from services.admin.dashboard.cache import Cache
from services.admin.dashboard.lead_search import LEADS, LeadQuery
from services.admin.schemas.lead_conditions import ME, NOBODY, LeadConditions
from services.admin.schemas.views import SavedView, ViewCount
from services.admin.texts import gettext, gettext_noop, number

# Each open page asks for the counts this often, and ten pages of a person count no more often than one.
COUNTS_MAX_AGE_SECONDS: Final = 30.0
_OPEN: Final = (LeadStatus.RECEIVED, LeadStatus.PROCESSING, LeadStatus.CONTACTED)
BUILT_IN: Final[dict[str, LeadConditions]] = {
    gettext_noop("Unanswered"): LeadConditions(status=(LeadStatus.RECEIVED,)),
    gettext_noop("Mine"): LeadConditions(status=_OPEN, assignee=ME),
    gettext_noop("Unassigned"): LeadConditions(status=_OPEN, assignee=NOBODY),
    gettext_noop("Spam"): LeadConditions(status=(LeadStatus.SPAM,)),
}


@dataclass(frozen=True)
class ViewLink:
    """A view in the navigation: its name, its URL, and the number of leads that it shows.

    The number is text. It is empty for the view of all leads.
    """

    name: str
    url: str
    count: str
    is_team: bool = False


async def load_links(adapters: Adapters, cache: Cache, zone: ZoneInfo, actor: str) -> list[ViewLink]:
    """Return the links to all views that the actor can see. The counts may be half a minute old."""
    saved = await adapters.views.list_views(actor)

    async def count() -> dict[str, ViewCount]:
        shown = [*BUILT_IN.values(), *(view.conditions for view in saved)]
        counts = await adapters.views.count(shown, zone, actor)
        return {view_url(view, zone): each for view, each in zip(shown, counts, strict=True)}

    counts = await cache.get_or_load(counts_key(zone, actor), count, COUNTS_MAX_AGE_SECONDS)
    return build_links(saved, counts, zone)


def counts_key(zone: ZoneInfo, actor: str) -> str:
    """Return the key under which the counts of the actor's views are cached."""
    return f"views {zone.key} {actor}"


def build_links(saved: Iterable[SavedView], counts: dict[str, ViewCount], zone: ZoneInfo) -> list[ViewLink]:
    """Return the links to all views. `counts` maps the URL of a view to its count.

    If `counts` does not contain a view, for example a new view, the link to the view has an empty count.
    """
    views = [(gettext(name), conditions, False) for name, conditions in BUILT_IN.items()]
    views += [(view.name, view.conditions, view.shared) for view in saved]
    links = [ViewLink(gettext("All leads"), LEADS, "")]
    for name, conditions, is_team in views:
        url = view_url(conditions, zone)
        links.append(ViewLink(name, url, count_text(counts[url]) if url in counts else "", is_team))
    return links


def count_text(count: ViewCount) -> str:
    """Return a count as pages show it, such as `12` or `1,000+`."""
    return number(count.total) + ("+" if count.total_is_capped else "")


def view_url(conditions: LeadConditions, zone: ZoneInfo) -> str:
    """Return the URL of the list of leads with these conditions."""
    return LeadQuery.model_validate(conditions.model_dump()).url(zone)
