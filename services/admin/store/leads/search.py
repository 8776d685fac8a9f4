"""Finds a page of the leads that match a search, and counts all matches, with the cheapest query."""

import json
from pathlib import Path
from typing import Any, Final

from runtime.database.postgres import Connection, load_queries
from services.admin.schemas.filters import LeadFilter
from services.admin.schemas.leads import LeadSummary
from services.admin.schemas.search_terms import NO_SEARCH
from services.admin.store.leads.orders import list_sorted, load_orders

# The condition of every query that selects leads: the list, its total, and the export.
LEAD_FILTER: Final = Path(__file__).with_name("lead_filter.sql").read_text(encoding="utf-8")
_SQL: Any = load_queries(Path(__file__).with_name("search.sql"), lead_filter=LEAD_FILTER)
_SORTED: Final = load_orders(LEAD_FILTER)
# More matches than this are not counted, and the planner's estimate is returned and marked. Counting many
# matches of two frequent filters reads an index of each, which takes 100 to 600 ms at a million leads.
COUNT_EXACTLY_UP_TO: Final = 10_000
# Rows that the index finds are scattered over the table; rows of a scan by time are beside each other.
GATHER_COST_FACTOR: Final = 3
# Gathering this many rows takes about 30 ms. An exact total is worth that, even where a scan would be faster.
ALWAYS_GATHER_UP_TO: Final = 3_000


async def find_leads(connection: Connection, filters: LeadFilter) -> tuple[list[LeadSummary], int, bool]:
    """Return the leads of a page, the number of matches, and True if that number is an estimate.

    If there is a next page, its first lead is returned too, at the end of the list.

    If many leads match, a scan from the newest lead finds a page quickly. If few match, the trigram index
    finds all of them quickly. PostgreSQL would choose badly between the two, and read the whole table for a
    count or a deep page. So this function chooses, with PostgreSQL's estimates.
    """
    selection = await choose_services(connection, filters.selection())
    page = filters.after() | {"limit": filters.limit + 1, "offset": filters.offset}
    if not filters.q:
        leads = await _scan_by_time(connection, selection, page)
        if (total := _total_of_page(filters, len(leads))) is not None:
            return leads, total, False
        total, is_estimate = await count_leads(connection, selection)
        return leads, max(total, filters.offset + len(leads)), is_estimate
    matching = await _estimate(connection, selection)
    all_leads = await _estimate(connection, selection | NO_SEARCH)
    rows_scanned = min(all_leads, (filters.limit + filters.offset) * all_leads / matching)
    if matching <= max(ALWAYS_GATHER_UP_TO, rows_scanned / GATHER_COST_FACTOR):
        rows = [row async for row in _SQL.gather_leads(connection, **selection, **page)]
        return [_to_summary(row) for row in rows if row["id"]], rows[0]["total"], False
    leads = await _scan_by_time(connection, selection, page)
    if (total := _total_of_page(filters, len(leads))) is not None:
        return leads, total, False
    return leads, max(matching, filters.offset + len(leads)), True


async def find_sorted(
    connection: Connection, filters: LeadFilter
) -> tuple[list[LeadSummary], str | None, int, bool]:
    """Return a page of leads in an order other than newest first, and the cursor of the next page.

    Also returns the number of matches, and True if that number is an estimate.
    """
    selection = await choose_services(connection, filters.selection())
    total, is_estimate = await count_leads(connection, selection)
    if total == 0:
        return [], None, 0, False
    few = total <= ALWAYS_GATHER_UP_TO and not is_estimate
    leads, next_cursor = await list_sorted(_SORTED, connection, filters, selection, few=few)
    found = len(leads) + (next_cursor is not None)
    if (exact := _total_of_page(filters, found)) is not None:
        return leads, next_cursor, exact, False
    return leads, next_cursor, max(total, filters.offset + found), is_estimate


def _total_of_page(filters: LeadFilter, found: int) -> int | None:
    """Return the number of matches if the page shows it, because it is the last page. Else return None.

    `found` is the number of leads that the query for the page returned. A count from the page is exact and
    needs no query. Returns None for a page after a cursor, and for a page beyond the last lead.
    """
    is_last = found <= filters.limit and (found > 0 or filters.offset == 0)
    return filters.offset + found if is_last and not filters.cursor else None


async def choose_services(connection: Connection, selection: dict[str, Any]) -> dict[str, Any]:
    """Return the SQL parameters `selection`, with the services that match the text in `service`.

    If the text is the exact name of a service, only that service matches. So a link to a service finds no
    leads of other services. Otherwise, a service matches if its name contains the text, in upper or lower
    case.
    """
    part = selection["service"]
    if part is None or await _SQL.has_service(connection, service=part):
        return selection
    services = [row["service"] async for row in _SQL.find_services(connection, part=part)]
    if len(services) == 1:  # the equality has the better plan
        return selection | {"service": services[0]}
    return selection | {"service": None, "services": services}


async def count_leads(connection: Connection, selection: dict[str, Any]) -> tuple[int, bool]:
    """Return the number of matches, and True if that number is an estimate."""
    matching = await _estimate(connection, selection)
    if matching > (ALWAYS_GATHER_UP_TO if selection["term_1"] else COUNT_EXACTLY_UP_TO):
        return matching, True
    total = await _SQL.count_leads(connection, **selection, bound=COUNT_EXACTLY_UP_TO + 1)
    if total <= COUNT_EXACTLY_UP_TO:
        return total, False
    return max(total, matching), True


async def count_up_to(connection: Connection, selection: dict[str, Any], bound: int) -> int:
    """Return how many leads match. The count stops at `bound`."""
    selection = await choose_services(connection, selection)
    total: int = await _SQL.count_newest(connection, **selection, bound=bound)
    return total


async def _scan_by_time(
    connection: Connection, selection: dict[str, Any], page: dict[str, Any]
) -> list[LeadSummary]:
    return [_to_summary(row) async for row in _SQL.list_leads(connection, **selection, **page)]


async def _estimate(connection: Connection, selection: dict[str, Any]) -> int:
    """Return the planner's estimate of how many leads match, at least 1."""
    plan = json.loads(await _SQL.estimate_leads(connection, **selection))
    return max(1, int(plan[0]["Plan"]["Plan Rows"]))


def _to_summary(row: Any) -> LeadSummary:
    return LeadSummary.model_validate(dict(row))
