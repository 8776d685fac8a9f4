"""Finds a page of leads and how many there are, by the way that is quick. What may be asked: filters.py."""

import json
from pathlib import Path
from typing import Any, Final

from contracts.leads import LeadStatus
from runtime.database.postgres import Connection, load_queries
from services.admin.schemas import leads as lead_schemas
from services.admin.schemas.filters import LeadFilter

SQL: Any = load_queries(Path(__file__).with_name("search.sql"))
# Counting so many matches takes a few milliseconds; beyond, the planner's estimate is told as one.
COUNT_EXACTLY_UP_TO: Final = 10_000
# Rows that are gathered lie anywhere in the table; those of a walk lie beside each other.
GATHERED_COST: Final = 3
# So many are gathered within some 30 ms: worth it for an exact total, even where a walk would be quicker.
GATHERED_ANYWAY: Final = 3_000
# The index collects every lead of each word before it knows which of them have the others, too.
INDEX_MEETS_AT_MOST: Final = 100_000


async def find_leads(
    connection: Connection, asked: LeadFilter
) -> tuple[list[lead_schemas.LeadSummary], int, bool]:
    """Return a page with a row too many, how many match, and whether that is an estimate.

    A common word is met soon on a walk from the newest on; of a rare one all are gathered. The choice is
    made here, by the planner's own estimates: left to it, a count or a deep page reads the whole table.
    """
    wanted, place = asked.selection(), asked.after() | {"limit": asked.limit + 1, "offset": asked.offset}
    if not asked.q:
        leads = await _walk(connection, wanted, place)
        return leads, *await count_leads(connection, wanted)
    if asked.status_filter is LeadStatus.ERASED:
        return [], 0, False  # nothing is left of them to search
    matching = await _estimate(connection, wanted)
    others = await _estimate(connection, wanted | {"words": None})
    looked_up, has_them = await _rare_words(connection, wanted["words"])
    walked = min(others, (asked.limit + asked.offset) * others / matching)
    gathered = min(others, has_them)
    if gathered <= max(GATHERED_ANYWAY, walked / GATHERED_COST):
        rows = [row async for row in SQL.gather_leads(connection, **wanted, **place, looked_up=looked_up)]
        found = [lead_schemas.LeadSummary.model_validate(dict(row)) for row in rows if row["id"]]
        return found, rows[0]["total"], False
    leads = await _walk(connection, wanted, place)
    return leads, max(matching, asked.offset + len(leads)), True


async def count_leads(connection: Connection, wanted: dict[str, Any]) -> tuple[int, bool]:
    """Return how many leads match, and whether that is an estimate."""
    if wanted["words"] and (matching := await _estimate(connection, wanted)) > GATHERED_ANYWAY:
        return matching, True
    total = await SQL.count_leads(connection, **wanted, bound=COUNT_EXACTLY_UP_TO + 1)
    if total <= COUNT_EXACTLY_UP_TO:
        return total, False
    return max(total, await _estimate(connection, wanted)), True


async def _walk(
    connection: Connection, wanted: dict[str, Any], place: dict[str, Any]
) -> list[lead_schemas.LeadSummary]:
    rows = SQL.list_leads(connection, **wanted, **place)
    return [lead_schemas.LeadSummary.model_validate(dict(row)) async for row in rows]


async def _rare_words(connection: Connection, words: str) -> tuple[str, int]:
    """Return those of the words that are worth the index, and how many leads have them."""
    each = words.split(" & ")
    nothing = dict.fromkeys(("status", "service", "since", "until"))
    held = {word: await _estimate(connection, nothing | {"words": word}) for word in each}
    rare = [word for word in each if held[word] <= INDEX_MEETS_AT_MOST] or [min(each, key=held.__getitem__)]
    looked_up = " & ".join(rare)
    return looked_up, await _estimate(connection, nothing | {"words": looked_up})


async def _estimate(connection: Connection, wanted: dict[str, Any]) -> int:
    """Return the planner's count of matches, at least 1."""
    plan = json.loads(await SQL.estimate_leads(connection, **wanted))
    return max(1, int(plan[0]["Plan"]["Plan Rows"]))
