"""Finds a page of leads and how many there are, by the way that is quick. What may be asked: filters.py."""

import json
from pathlib import Path
from typing import Any, Final

from runtime.postgres import Connection, load_queries
from services.admin import answers
from services.admin.filters import LeadFilter

SQL: Any = load_queries(Path(__file__).with_name("search.sql"))
# Counting so many matches takes a few milliseconds; beyond, the planner's estimate is told as one.
COUNT_EXACTLY_UP_TO: Final = 10_000
# To take the words of a lead apart costs several times a read of it.
WORDS_COST: Final = 4
# The index collects every lead of each word before it knows which of them have the others, too.
INDEX_MEETS_AT_MOST: Final = 100_000


async def find_leads(
    connection: Connection, asked: LeadFilter
) -> tuple[list[answers.LeadSummary], int, bool]:
    """Return a page with a row too many, how many match, and whether that is an estimate.

    A common word is met soon on a walk from the newest on; of a rare one all are gathered. The choice is
    made here, by the planner's own estimates: left to it, a count or a deep page reads the whole table.
    """
    wanted, place = asked.selection(), asked.after() | {"limit": asked.limit + 1, "offset": asked.offset}
    if asked.q:
        matching = await _estimate(connection, wanted)
        walked = (
            (asked.limit + asked.offset) * await _estimate(connection, wanted | {"words": None}) / matching
        )
        each = wanted["words"].split(" & ")
        held = {word: await _estimate(connection, dict.fromkeys(wanted) | {"words": word}) for word in each}
        rare = [word for word in each if held[word] <= INDEX_MEETS_AT_MOST] or [
            min(each, key=held.__getitem__)
        ]
        looked_up = " & ".join(rare)
        gathered = await _estimate(connection, dict.fromkeys(wanted) | {"words": looked_up})
        # On a walk each lead's words are taken apart; after gathering where the index has not met all words.
        if gathered * (1 if len(rare) == len(each) else WORDS_COST) <= walked * WORDS_COST:
            rows = [row async for row in SQL.gather_leads(connection, **wanted, **place, looked_up=looked_up)]
            found = [answers.LeadSummary.model_validate(dict(row)) for row in rows if row["id"]]
            return found, rows[0]["total"], False
    rows = [row async for row in SQL.list_leads(connection, **wanted, **place)]
    leads = [answers.LeadSummary.model_validate(dict(row)) for row in rows]
    if asked.q:
        return leads, max(matching, asked.offset + len(leads)), True
    total = await SQL.count_leads(connection, **wanted, bound=COUNT_EXACTLY_UP_TO + 1)
    if total <= COUNT_EXACTLY_UP_TO:
        return leads, total, False
    return leads, max(total, await _estimate(connection, wanted)), True


async def _estimate(connection: Connection, wanted: dict[str, Any]) -> int:
    """Return the planner's count of matches, at least 1."""
    plan = json.loads(await SQL.estimate_leads(connection, **wanted))
    return max(1, int(plan[0]["Plan"]["Plan Rows"]))
