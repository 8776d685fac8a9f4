"""Reads the other leads of the persons of a batch, which their alerts show."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from contracts.leads import LeadReceived
from contracts.phone_numbers import phone_ending
from runtime.database.postgres import Pool, load_queries, transaction_within
from runtime.failures import Failure
from runtime.logs import logger
from services.notifier.delivery_values import storable
from services.notifier.mail.alert import OtherLead, OtherLeads

_SQL: Any = load_queries(Path(__file__).with_name("other_leads.sql"))
LISTED_MAX: Final = 3
"""The largest number of leads that an alert lists."""
COUNTED_MAX: Final = 200
"""The largest number of leads that an alert counts."""
READ_SECONDS: Final = 2.0


async def read_other_leads(pool: Pool, leads: Sequence[LeadReceived]) -> Mapping[UUID, OtherLeads]:
    """Return the other leads of the person of each lead, by lead id. A lead without any is left out.

    Only leads of the same site count, because another site may have another team. If the database does not
    answer within `READ_SECONDS`, returns nothing and logs a warning: an alert is complete without them.
    """
    if not leads:
        return {}
    found = dict[UUID, list[Mapping[str, Any]]]()
    try:
        async with transaction_within(pool, READ_SECONDS) as connection:
            async for row in _SQL.other_leads(
                connection,
                lead_ids=[each.lead_id for each in leads],
                sites=[storable(each.site) for each in leads],
                emails=[storable(each.email) if each.email else None for each in leads],
                endings=[phone_ending(each.phone) for each in leads],
                bound=COUNTED_MAX + 1,
                latest=LISTED_MAX,
            ):
                found.setdefault(row["lead_id"], []).append(row)
    except Failure as failure:
        logger("alert").warning("alerts without other leads", reason=failure.reason, leads=len(leads))
        return {}
    return {lead_id: _to_other_leads(rows) for lead_id, rows in found.items()}


def _to_other_leads(rows: Sequence[Mapping[str, Any]]) -> OtherLeads:
    total = rows[0]["total"]
    return OtherLeads(
        tuple(OtherLead(row["id"], row["created_at_utc"], row["service"]) for row in rows),
        min(total, COUNTED_MAX),
        is_more=total > COUNTED_MAX,
    )
