"""The bulk changes that send leads to a destination (`send`), or resend failed deliveries (`retry`).

The service `webhooks` sends what these functions store.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from uuid import UUID, uuid4

from contracts.audit import AuditEvent, AuditRecorded
from contracts.lead_events import RECEIVED, LeadEvent, event_id_for
from runtime.database.audit_log import append_entries
from runtime.database.erasure import block_erasures
from runtime.database.lead_events import NewEvent, add_deliveries, in_order, insert_events
from runtime.database.postgres import Connection, load_queries
from runtime.sites.destinations import Destination
from runtime.sites.model import Sites
from services.admin.rules.send_rules import NOT_RELEASED, send_refusal
from services.admin.schemas.bulk_changes import RefusedGroup
from services.admin.store.deliveries.destinations import NOT_IN_FILE
from services.admin.store.deliveries.destinations import SQL as DELIVERIES
from services.admin.store.leads.search import LEAD_FILTER
from services.admin.texts import gettext

# The deliveries that failed first, up to a bound: a destination may have a million.
_FAILED: Final = """
    SELECT lead_id, position FROM webhook_delivery
    WHERE destination = :destination AND state IN ('failed', 'dead') AND reason IS NOT NULL
      AND (:state::text IS NULL OR state = :state)
      AND (:event::text IS NULL OR type = :event)
      AND (:reason::text IS NULL OR reason = :reason)
      AND (:since::timestamptz IS NULL OR updated_at >= :since)
      AND (:until::timestamptz IS NULL OR updated_at < :until)
      AND (:ids::uuid[] IS NULL OR lead_id = ANY(:ids))
    ORDER BY updated_at LIMIT 100000
"""
SQL: Any = load_queries(
    Path(__file__).with_name("bulk_deliveries.sql"), lead_filter=LEAD_FILTER, failed=_FAILED
)


async def count_to_send(
    connection: Connection, destination: Destination, selection: Mapping[str, Any], bound: int
) -> tuple[int, list[RefusedGroup], int]:
    """Count the selected leads, at most `bound`.

    Returns the number of leads, the groups of leads that cannot be sent, and the number of leads that the
    destination already has. The leads of a group have the same status and reason.
    """
    leads, already, refused = 0, 0, Counter[tuple[str, str]]()
    async for row in SQL.count_to_send(connection, **selection, destination=destination.name, bound=bound):
        leads += row["leads"]
        if why := send_refusal(destination, row):
            refused[row["status"], why] += row["leads"]
        elif row["is_sent"]:
            already += row["leads"]
    groups = [RefusedGroup(status=key[0], leads=count, why=key[1]) for key, count in refused.items()]
    return leads, groups, already


async def count_to_retry(
    connection: Connection, selection: Mapping[str, Any]
) -> tuple[int, list[RefusedGroup]]:
    """Count the leads with a selected failed delivery.

    Returns the number of leads, and the groups of leads that cannot be sent.
    """
    counts = {row["status"]: row["leads"] async for row in SQL.count_to_retry(connection, **selection)}
    refused = [
        RefusedGroup(status=status, leads=leads, why=gettext(NOT_RELEASED))
        for status, leads in counts.items()
        if status
    ]
    return sum(counts.values()), refused


async def send(
    connection: Connection, bulk: Mapping[str, Any], leads: Sequence[Mapping[str, Any]], sites: Sites
) -> dict[UUID, tuple[str, str | None]]:
    """Store a delivery of each lead to the bulk change's destination, and return the result of each lead.

    `leads` are rows of `lead_inbox` that the transaction has locked. The transaction must also block
    erasures. If a delivery of the lead has failed, it is made due again. If it has arrived or is being sent,
    the result is `unchanged`.
    """
    name = bulk["value"]
    destination = sites.destinations.get(name)
    results: dict[UUID, tuple[str, str | None]] = {}
    sending = {}
    for lead in leads:
        if why := send_refusal(destination, lead):
            results[lead["id"]] = ("refused", why)
        else:
            sending[event_id_for(lead["id"], RECEIVED)] = lead
    rows = SQL.list_sent(connection, event_ids=list(sending), destination=name)
    for event_id in [row["event_id"] async for row in rows]:
        results[sending.pop(event_id)["id"]] = ("unchanged", None)
    if destination and sending:
        await _store_deliveries(connection, destination, sending, sites)
        request_ids = {lead["id"]: lead["request_id"] for lead in sending.values()}
        await _restart(connection, name, request_ids)
        await _audit(connection, bulk, request_ids)
        results |= dict.fromkeys(request_ids, ("changed", None))
    return results


async def _store_deliveries(
    connection: Connection, destination: Destination, leads: Mapping[UUID, Mapping[str, Any]], sites: Sites
) -> None:
    """Insert the missing events and deliveries of leads. `leads` is keyed by the id of `lead.received`."""
    name = destination.name
    events = [
        NewEvent(
            id=event_id,
            type=RECEIVED,
            lead_id=lead["id"],
            site=lead["site"],
            occurred_at=lead["created_at_utc"],
            body=LeadEvent.released(lead, sites.display_name(lead["site"])).model_dump_json(),
            destinations=(name,),
            is_from_table=True,
        )
        for event_id, lead in leads.items()
    ]
    await insert_events(connection, in_order(events))
    rows = SQL.list_later_events(connection, event_ids=list(leads), types=list(destination.events))
    await add_deliveries(connection, [(row["id"], name) async for row in rows])


async def retry(
    connection: Connection, bulk: Mapping[str, Any], ids: Collection[UUID], sites: Sites
) -> dict[UUID, tuple[str, str | None]]:
    """Resend all failed deliveries of these leads to the bulk change's destination, in order.

    The deliveries become due now. Returns the result of each lead. It is `unchanged` for a lead without a
    failed delivery, and `refused` for a lead that is spam or held and whose `lead.received` is dead. If
    the sites file no longer has the destination, the result of every lead is `refused`, because the
    deliveries would never be sent.
    """
    if bulk["value"] not in sites.destinations:
        return dict.fromkeys(ids, ("refused", gettext(NOT_IN_FILE)))
    await block_erasures(connection)
    restarted, unsent = await _restart(connection, bulk["value"], ids)
    await _audit(connection, bulk, dict.fromkeys(restarted))
    return (
        dict.fromkeys(ids, ("unchanged", None))
        | dict.fromkeys(restarted, ("changed", None))
        | dict.fromkeys(unsent, ("refused", gettext(NOT_RELEASED)))
    )


async def _restart(
    connection: Connection, name: str, lead_ids: Collection[UUID]
) -> tuple[set[UUID], set[UUID]]:
    """Make all failed deliveries of these leads to a destination due now.

    Returns two sets of ids: the leads that had a failed delivery, and those that are not sent because they
    are spam or held and their `lead.received` is dead.
    """
    rows = DELIVERIES.lock_failed_of_leads(connection, lead_ids=list(lead_ids), name=name)
    failed = [row async for row in rows]
    event_ids = [row["event_id"] for row in failed if not row["is_unsent"]]
    await DELIVERIES.restart_deliveries(connection, event_ids=event_ids, name=name)
    unsent = {row["lead_id"] for row in failed if row["is_unsent"]}
    return {row["lead_id"] for row in failed} - unsent, unsent


async def _audit(
    connection: Connection, bulk: Mapping[str, Any], request_ids: Mapping[UUID, str | None]
) -> None:
    """Append an entry for each lead. `request_ids` has the id of the lead's request, if it is known."""
    details = {"bulk_id": str(bulk["id"]), "action": bulk["action"], "destination": bulk["value"]}
    entries = [
        AuditRecorded(
            event_id=uuid4(),
            occurred_at=datetime.now(UTC),
            event=AuditEvent.DELIVERY_REQUESTED,
            actor=bulk["actor"],
            lead_id=lead_id,
            request_id=request_id,
            details=details,
        )
        for lead_id, request_id in request_ids.items()
    ]
    await append_entries(connection, entries, database_time=True)
