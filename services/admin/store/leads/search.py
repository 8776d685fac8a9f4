"""Finds a page of the leads that match a search, and counts all that match, with the cheapest query."""

import json
from pathlib import Path
from typing import Any, Final

from contracts.leads import LeadStatus
from runtime.database.postgres import Connection, load_queries
from services.admin.schemas.filters import LeadFilter
from services.admin.schemas.leads import LeadSummary

_SQL: Any = load_queries(Path(__file__).with_name("search.sql"))
# Counting so many matches takes a few milliseconds. Above it the planner's estimate is returned and marked.
COUNT_EXACTLY_UP_TO: Final = 10_000
# Rows found through the word index lie anywhere in the table; rows of a scan by time lie beside each other.
GATHER_COST_FACTOR: Final = 3
# So many rows are gathered in about 30 ms. That is worth an exact total, even where a scan would be faster.
ALWAYS_GATHER_UP_TO: Final = 3_000
# The word index collects every lead of each word before it intersects them.
MAX_LEADS_PER_INDEXED_WORD: Final = 100_000


async def find_leads(connection: Connection, filters: LeadFilter) -> tuple[list[LeadSummary], int, bool]:
    """Return a page of leads and one more lead, how many match, and whether that number is an estimate.

    The additional lead, if any, shows that there is a next page. For common words, a scan from the newest
    lead finds a page soon. For rare words, the word index finds all matching leads soon. This function
    chooses the scan or the index by PostgreSQL's estimates. If PostgreSQL chose, it would read the whole
    table for a count or a deep page.
    """
    selection = filters.selection()
    page = filters.after() | {"limit": filters.limit + 1, "offset": filters.offset}
    if not filters.q:
        leads = await _scan_by_time(connection, selection, page)
        return leads, *await count_leads(connection, selection)
    if filters.status_filter is LeadStatus.ERASED:
        return [], 0, False  # an erased lead has no words
    matching = await _estimate(connection, selection)
    without_words = await _estimate(connection, selection | {"words": None})
    indexed_words, with_indexed_words = await _choose_indexed_words(connection, selection["words"])
    rows_scanned = min(without_words, (filters.limit + filters.offset) * without_words / matching)
    rows_gathered = min(without_words, with_indexed_words)
    if rows_gathered <= max(ALWAYS_GATHER_UP_TO, rows_scanned / GATHER_COST_FACTOR):
        leads_and_total = _SQL.gather_leads(connection, **selection, **page, looked_up=indexed_words)
        rows = [row async for row in leads_and_total]
        return [_to_summary(row) for row in rows if row["id"]], rows[0]["total"], False
    leads = await _scan_by_time(connection, selection, page)
    return leads, max(matching, filters.offset + len(leads)), True


async def count_leads(connection: Connection, selection: dict[str, Any]) -> tuple[int, bool]:
    """Return how many leads match, and whether that number is an estimate."""
    if selection["words"] and (matching := await _estimate(connection, selection)) > ALWAYS_GATHER_UP_TO:
        return matching, True
    total = await _SQL.count_leads(connection, **selection, bound=COUNT_EXACTLY_UP_TO + 1)
    if total <= COUNT_EXACTLY_UP_TO:
        return total, False
    return max(total, await _estimate(connection, selection)), True


async def _scan_by_time(
    connection: Connection, selection: dict[str, Any], page: dict[str, Any]
) -> list[LeadSummary]:
    return [_to_summary(row) async for row in _SQL.list_leads(connection, **selection, **page)]


async def _choose_indexed_words(connection: Connection, words: str) -> tuple[str, int]:
    """Return the words to look up in the index, and an estimate of how many leads have all of them."""
    any_lead = dict.fromkeys(("status", "service", "since", "until"))
    leads_with = {
        word: await _estimate(connection, any_lead | {"words": word}) for word in words.split(" & ")
    }
    rare = [word for word, leads in leads_with.items() if leads <= MAX_LEADS_PER_INDEXED_WORD]
    indexed = " & ".join(rare or [min(leads_with, key=leads_with.__getitem__)])
    return indexed, await _estimate(connection, any_lead | {"words": indexed})


async def _estimate(connection: Connection, selection: dict[str, Any]) -> int:
    """Return the planner's estimate of how many leads match, at least 1."""
    plan = json.loads(await _SQL.estimate_leads(connection, **selection))
    return max(1, int(plan[0]["Plan"]["Plan Rows"]))


def _to_summary(row: Any) -> LeadSummary:
    return LeadSummary.model_validate(dict(row))
