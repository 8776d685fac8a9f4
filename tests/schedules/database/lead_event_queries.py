"""The queries that store events of leads and their deliveries (`runtime/database/lead_events.sql`)."""

import json
from datetime import datetime
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import asyncpg

from contracts.lead_events import ALERT_FAILED
from runtime.database import lead_events as product
from tests.schedules.database.persister_queries import LEADS
from tests.schedules.database.pool import Query
from tests.schedules.database.server import Row, Transaction, clock

EVENTS: Final = "webhook_event"
DELIVERIES: Final = "webhook_delivery"
OUTBOX: Final = "lead_event_outbox"
PATH: Final = Path(product.__file__).with_name("lead_events.sql")
UNSENT: Final = ("spam", "held")


def put_delivery(transaction: Transaction, row: Row) -> None:
    """Insert or replace a delivery. Raises `CheckViolationError` if its state lacks a time."""
    if row["state"] == "sending" and row["lease_until"] is None:
        raise asyncpg.CheckViolationError("sending_has_a_lease")
    if row["state"] in ("pending", "failed") and row["next_attempt_at"] is None:
        raise asyncpg.CheckViolationError("waiting_has_a_time")
    transaction.put(DELIVERIES, (row["event_id"], row["destination"]), row)


def _is_unwanted(transaction: Transaction, event: Row) -> bool:
    """Return True if the event's lead is erased, or has become spam since its record was published."""
    if event["type"] == ALERT_FAILED:
        return False
    lead = transaction.get(LEADS, (UUID(event["lead_id"]),))
    status = lead["status"] if lead else ""
    return status == "erased" or (not event["is_from_table"] and status in UNSENT)


async def _insert_events(transaction: Transaction, p: Any) -> list[Row]:
    events = [each for each in json.loads(p.events) if not _is_unwanted(transaction, each)]
    inserted = list[Row]()
    for event in sorted(events, key=lambda each: int(each["number"])):
        key = (UUID(event["id"]),)
        if transaction.database.refuses(event["lead_id"]):
            raise asyncpg.RaiseError("refused")
        position = transaction.database.next_number()
        await transaction.lock(EVENTS, key)
        if transaction.get(EVENTS, key):
            continue
        row = {
            "id": key[0],
            "position": position,
            "type": event["type"],
            "lead_id": UUID(event["lead_id"]),
            "site": event["site"],
            "occurred_at": datetime.fromisoformat(event["occurred_at"]),
            "body": event["body"],
            "delivery_count": event["delivery_count"],
            "traceparent": event["traceparent"],
        }
        transaction.put(EVENTS, key, row)
        inserted.append({"id": key[0]})
    return inserted


def new_delivery(transaction: Transaction, event: Row, destination: str) -> Row:
    """Return the delivery of an event for a destination, as it is at first."""
    return {
        "event_id": event["id"],
        "destination": destination,
        "lead_id": event["lead_id"],
        "position": event["position"],
        "type": "lead.received",
        "state": "pending",
        "owner": None,
        "lease_until": None,
        "attempts": 0,
        "retries": 0,
        "next_attempt_at": transaction.now,
        "status_code": None,
        "reason": None,
        "response": None,
        "duration_ms": None,
        "delivered_at": None,
        "updated_at": transaction.now,
    }


async def _insert_deliveries(transaction: Transaction, p: Any) -> list[Row]:
    for event_id, destination in zip(p.event_ids, p.destinations, strict=True):
        event = transaction.get(EVENTS, (event_id,))
        if event:
            await transaction.lock(DELIVERIES, (event_id, destination))
            if transaction.get(DELIVERIES, (event_id, destination)):
                raise asyncpg.UniqueViolationError("webhook_delivery_pkey")
            put_delivery(transaction, new_delivery(transaction, event, destination))
    return []


async def _add_deliveries(transaction: Transaction, p: Any) -> list[Row]:
    for event_id in sorted(set(p.event_ids)):
        await transaction.lock(EVENTS, (event_id,))
        event = transaction.get(EVENTS, (event_id,))
        if event is None or event["body"] is None:
            continue
        added = 0
        for each, destination in zip(p.event_ids, p.destinations, strict=True):
            key = (event_id, destination)
            if each != event_id:
                continue
            await transaction.lock(DELIVERIES, key)
            if transaction.get(DELIVERIES, key) is None:
                put_delivery(transaction, new_delivery(transaction, event, destination))
                added += 1
        count = event["delivery_count"] + added
        transaction.put(EVENTS, (event_id,), event | {"delivery_count": count})
    return []


async def erase(transaction: Transaction, lead_id: UUID) -> None:
    """Erase a lead as the function `erase_lead` and its trigger do, with what webhooks knows of the lead."""
    await transaction.lock("advisory", ("fastcore.erase",))
    await transaction.lock(LEADS, (lead_id,))
    lead = transaction.get(LEADS, (lead_id,))
    if lead is None or lead["status"] == "erased":
        return
    transaction.put(LEADS, (lead_id,), lead | {"status": "erased", "body_sha256": ""})
    events = transaction.find(EVENTS, lambda row: row["lead_id"] == lead_id)
    for event in sorted(events, key=lambda row: int(row["position"])):
        await transaction.lock(EVENTS, (event["id"],))
        current = transaction.get(EVENTS, (event["id"],)) or event
        transaction.put(EVENTS, (event["id"],), current | {"body": None})
    notified = set[str]()
    for found in transaction.find(DELIVERIES, lambda row: row["lead_id"] == lead_id):
        key = (found["event_id"], found["destination"])
        await transaction.lock(DELIVERIES, key)
        row = transaction.get(DELIVERIES, key) or found
        changed: Row = {"response": None, "next_attempt_at": None}
        if row["state"] in ("pending", "failed", "dead"):
            changed |= {"reason": "erased", "state": "suppressed"}
        put_delivery(transaction, row | changed)
        if row["attempts"] > 0:
            notified.add(row["destination"])
    if notified:
        _insert_erasure(transaction, lead_id, lead["site"], sorted(notified))


def _insert_erasure(transaction: Transaction, lead_id: UUID, site: str, names: list[str]) -> None:
    position = transaction.database.next_number()
    event_id = UUID(int=position)
    data = {"id": str(lead_id), "reference": str(lead_id)[-8:], "site": site}
    body = {"type": "lead.erased", "timestamp": clock().isoformat(), "data": data}
    event = {
        "id": event_id,
        "position": position,
        "type": "lead.erased",
        "lead_id": lead_id,
        "site": site,
        "occurred_at": transaction.now,
        "body": json.dumps(body),
        "delivery_count": len(names),
        "traceparent": None,
    }
    transaction.put(EVENTS, (event_id,), event)
    for name in names:
        put_delivery(transaction, new_delivery(transaction, event, name))


QUERIES: Final[dict[str, Query]] = {
    "insert_events": _insert_events,
    "insert_deliveries": _insert_deliveries,
    "add_deliveries": _add_deliveries,
}
