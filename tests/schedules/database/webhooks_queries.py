"""The queries of the webhooks service: claims of deliveries, their outcomes, and states of destinations."""

from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import asyncpg

import services.webhooks as product
from runtime.database import audit_log
from services.webhooks import store
from tests.schedules.database import persister_queries as shared
from tests.schedules.database.lead_event_queries import DELIVERIES, EVENTS, PATH, put_delivery
from tests.schedules.database.lead_event_queries import QUERIES as LEAD_EVENTS
from tests.schedules.database.pool import Query, Statements
from tests.schedules.database.server import Row, Transaction, clock

DESTINATIONS: Final = "webhook_destination"
OPEN: Final = ("pending", "failed", "sending")
_WEBHOOKS: Final = Path(product.__file__).parent
_RUNTIME: Final = Path(audit_log.__file__).parent
_CHANGES: Final = ("fastcore.webhooks.changes",)
_ERASURES: Final = ("fastcore.erase",)


def _columns(p: Any, *names: str) -> list[tuple[Any, ...]]:
    return list(zip(*(getattr(p, name) for name in names), strict=True))


# --- records -------------------------------------------------------------------------------------------


async def _block_erasures(transaction: Transaction, _: Any) -> list[Row]:
    await transaction.lock("advisory", _ERASURES, shared=True)
    return []


async def _wait_for_changes(transaction: Transaction, _: Any) -> list[Row]:
    await transaction.lock("advisory", _CHANGES, shared=True)
    return []


async def _wait_for_records(transaction: Transaction, _: Any) -> list[Row]:
    await transaction.lock("advisory", _CHANGES)
    return []


async def _read_leads(transaction: Transaction, p: Any) -> list[Row]:
    found = list[Row]()
    for lead_id in p.ids:
        row = transaction.get(shared.LEADS, (lead_id,))
        if row and row["status"] != "erased":
            deliveries = transaction.find(DELIVERIES, lambda each, id_=lead_id: each["lead_id"] == id_)  # type: ignore[misc]
            found.append(row | {"destinations": sorted({each["destination"] for each in deliveries})})
    return found


# --- destinations and claims ---------------------------------------------------------------------------


async def _locked_destination(transaction: Transaction, name: str) -> Row | None:
    await transaction.lock(DESTINATIONS, (name,))
    return transaction.get(DESTINATIONS, (name,))


async def _change_destination(transaction: Transaction, name: str, **changes: Any) -> list[Row]:
    """Change a destination's row, which is locked and exists."""
    row = transaction.get(DESTINATIONS, (name,))
    assert row is not None
    transaction.put(DESTINATIONS, (name,), row | changes)
    return []


async def _add_destinations(transaction: Transaction, p: Any) -> list[Row]:
    for name in p.names:
        if await _locked_destination(transaction, name) is None:
            row = {
                "name": name,
                "failures": 0,
                "paused_until": None,
                "paused_since": None,
                "next_send_at": transaction.now,
                "disabled_at": None,
                "disabled_reason": None,
                "last_success_at": None,
                "last_failure_at": None,
                "last_reason": None,
            }
            transaction.put(DESTINATIONS, (name,), row)
    return []


async def _end_pauses(transaction: Transaction, p: Any) -> list[Row]:
    for name in p.names:
        row = await _locked_destination(transaction, name)
        if row and row["paused_until"]:
            changes = {"failures": 0, "paused_until": None, "paused_since": None}
            await _change_destination(transaction, name, **changes)
    return []


async def _list_due_destinations(transaction: Transaction, p: Any) -> list[Row]:
    now, due = transaction.now, list[str]()
    for name in p.names:
        row = transaction.get(DESTINATIONS, (name,))
        if not row or row["disabled_at"] or row["next_send_at"] > now:
            continue
        if row["paused_until"] and row["paused_until"] > now:
            continue
        if transaction.find(DELIVERIES, lambda each, name=name: _is_due(each, name, now)):  # type: ignore[misc]
            due.append(name)
    return [{"array": due}]


def _is_due(row: Row, name: str, now: Any) -> bool:
    at = row["lease_until"] if row["state"] == "sending" else row["next_attempt_at"]
    return bool(row["destination"] == name and row["state"] in OPEN and at <= now)


async def _lock_destination(transaction: Transaction, p: Any) -> list[Row]:
    row = await _locked_destination(transaction, p.name)
    if row is None:
        return []
    paused = row["paused_until"]
    return [
        {
            "disabled_at": row["disabled_at"],
            "may_send": row["next_send_at"] <= transaction.now,
            "is_probe": paused is not None,
            "may_attempt": paused is None or paused <= transaction.now,
        }
    ]


async def _count_sending(transaction: Transaction, p: Any) -> list[Row]:
    sending = transaction.find(
        DELIVERIES,
        lambda row: (
            row["destination"] == p.name
            and row["state"] == "sending"
            and row["lease_until"] > transaction.now
        ),
    )
    return [{"count": len(sending)}]


async def _claim_deliveries(transaction: Transaction, p: Any) -> list[Row]:
    """Claim expired deliveries, then those that wait; each kind oldest first."""
    now = transaction.now
    due = [
        row
        for row in transaction.find(DELIVERIES, lambda row: _is_due(row, p.name, now))
        if not _waits_for_earlier(transaction, row)
        and not transaction.is_locked(DELIVERIES, (row["event_id"], row["destination"]))
    ]
    expired = sorted((row for row in due if row["state"] == "sending"), key=lambda row: row["lease_until"])
    waiting = sorted(
        (row for row in due if row["state"] != "sending"), key=lambda row: row["next_attempt_at"]
    )
    claimed = list[Row]()
    for row in [*expired[: p.limit], *waiting[: p.limit]][: p.limit]:
        await transaction.lock(DELIVERIES, (row["event_id"], row["destination"]))
        is_interrupted = row["state"] == "sending"
        changed = row | {
            "state": "sending",
            "owner": p.owner,
            "lease_until": now + p.lease,
            "attempts": row["attempts"] + 1,
            "retries": row["retries"] + is_interrupted,
            "updated_at": now,
        }
        put_delivery(transaction, changed)
        event = transaction.get(EVENTS, (row["event_id"],))
        assert event is not None
        more = {"is_interrupted": is_interrupted, "claimed_at": now}
        named = {name: event[name] for name in ("type", "body", "traceparent")}
        claimed.append(changed | named | more)
    return claimed


def _waits_for_earlier(transaction: Transaction, row: Row) -> bool:
    return bool(
        transaction.find(
            DELIVERIES,
            lambda each: (
                each["lead_id"] == row["lead_id"]
                and each["destination"] == row["destination"]
                and each["position"] < row["position"]
                and each["state"] in OPEN
            ),
        )
    )


async def _pace_destination(transaction: Transaction, p: Any) -> list[Row]:
    row = await _locked_destination(transaction, p.name)
    if row is None:
        return []
    until = row["paused_until"] and transaction.now + p.lease
    return await _change_destination(
        transaction, p.name, next_send_at=transaction.now + p.gap, paused_until=until
    )


# --- outcomes ------------------------------------------------------------------------------------------


async def _lock_events(transaction: Transaction, p: Any) -> list[Row]:
    found = list[Row]()
    for event_id in p.ids:
        if not transaction.is_locked(EVENTS, (event_id,), shared=True):
            await transaction.lock(EVENTS, (event_id,), shared=True)
            event = transaction.get(EVENTS, (event_id,))
            found += [{"id": event_id, "is_erased": event["body"] is None}] if event else []
    return found


async def _lock_event(transaction: Transaction, p: Any) -> list[Row]:
    await transaction.lock(EVENTS, (p.event_id,), shared=True)
    event = transaction.get(EVENTS, (p.event_id,))
    return [{"id": p.event_id, "is_erased": event["body"] is None}] if event else []


async def _record_outcomes(transaction: Transaction, p: Any) -> list[Row]:
    names = ("states", "types", "status_codes", "reasons", "responses", "durations_ms", "retries", "waits")
    written = list[Row]()
    for event_id, owner, state, type_, code, reason, response, duration, retries, wait in _columns(
        p, "event_ids", "owners", *names
    ):
        key = (event_id, p.destination)
        if transaction.get(DELIVERIES, key) is None:
            continue
        await transaction.lock(DELIVERIES, key)
        row = transaction.get(DELIVERIES, key)
        if not row or row["state"] != "sending" or row["owner"] != owner:
            continue
        if transaction.database.refuses(f"outcome {row['lead_id']}"):
            raise asyncpg.RaiseError("refused")
        changed = {
            "state": state,
            "type": type_,
            "owner": None,
            "lease_until": None,
            "status_code": code,
            "reason": reason,
            "response": response,
            "duration_ms": duration,
            "retries": retries,
            "next_attempt_at": None if wait is None else transaction.now + wait,
            "delivered_at": transaction.now if state == "delivered" else None,
            "updated_at": transaction.now,
        }
        put_delivery(transaction, row | changed)
        written.append({"event_id": event_id, "owner": owner})
    return written


def _began_later(row: Row, p: Any) -> bool:
    """Return True if the destination's pause began after the claim."""
    return row["paused_since"] is not None and row["paused_since"] > p.claimed_at


async def _release_probe(transaction: Transaction, p: Any) -> list[Row]:
    row = await _locked_destination(transaction, p.name)
    if row and row["paused_until"] and row["paused_since"] and not _began_later(row, p):
        await _change_destination(transaction, p.name, paused_until=transaction.now)
    return []


async def _note_invalid(transaction: Transaction, p: Any) -> list[Row]:
    if await _locked_destination(transaction, p.name):
        changes = {"last_failure_at": transaction.now, "last_reason": p.reason}
        await _change_destination(transaction, p.name, **changes)
    return []


async def _note_success(transaction: Transaction, p: Any) -> list[Row]:
    def is_written(row: Row | None) -> bool:
        second = timedelta(seconds=1)
        last = row["last_success_at"] if row else None
        old = last is None or last < transaction.now - second
        return bool(row and (row["failures"] > 0 or row["paused_until"] or old))

    if not is_written(transaction.get(DESTINATIONS, (p.name,))):
        return []
    row = await _locked_destination(transaction, p.name)
    if row and is_written(row):
        ended = {} if _began_later(row, p) else {"failures": 0, "paused_until": None, "paused_since": None}
        await _change_destination(transaction, p.name, last_success_at=transaction.now, **ended)
    return []


async def _note_failure(transaction: Transaction, p: Any) -> list[Row]:
    row = await _locked_destination(transaction, p.name)
    if row is None:
        return []
    failures = row["failures"] + (0 if _began_later(row, p) else 1)
    changes = {"last_failure_at": transaction.now, "last_reason": p.reason}
    await _change_destination(transaction, p.name, failures=failures, **changes)
    return [{"failures": failures, "is_paused": row["paused_until"] is not None}]


async def _pause_destination(transaction: Transaction, p: Any) -> list[Row]:
    row = await _locked_destination(transaction, p.name)
    if row:
        until = transaction.now + p.wait
        if _began_later(row, p) and row["paused_until"]:
            until = max(until, row["paused_until"])
        since = row["paused_since"] or clock()
        await _change_destination(
            transaction, p.name, paused_until=until, paused_since=since, last_reason=p.reason
        )
    return []


async def _disable_destination(transaction: Transaction, p: Any) -> list[Row]:
    row = await _locked_destination(transaction, p.name)
    if row is None or row["disabled_at"]:
        return []
    changes = {"disabled_at": transaction.now, "disabled_reason": p.reason}
    await _change_destination(transaction, p.name, **changes)
    return [{"name": p.name}]


async def _report(_: Transaction, __: Any) -> list[Row]:
    return []


QUERIES: Final[dict[str, Query]] = {
    "wait_for_changes": _wait_for_changes,
    "wait_for_records": _wait_for_records,
    "read_leads": _read_leads,
    "add_destinations": _add_destinations,
    "end_pauses": _end_pauses,
    "list_due_destinations": _list_due_destinations,
    "lock_destination": _lock_destination,
    "count_sending": _count_sending,
    "claim_deliveries": _claim_deliveries,
    "pace_destination": _pace_destination,
}
OUTCOMES: Final[dict[str, Query]] = {
    "lock_events": _lock_events,
    "lock_event": _lock_event,
    "record_outcomes": _record_outcomes,
    "release_probe": _release_probe,
    "note_invalid": _note_invalid,
    "note_success": _note_success,
    "note_failure": _note_failure,
    "pause_destination": _pause_destination,
    "disable_destination": _disable_destination,
}


def webhooks_statements() -> Statements:
    """Return the queries of the webhooks service."""
    statements = Statements()
    shared.add_runtime(statements)
    statements.add(_RUNTIME / "erasure.sql", {"block_erasures": _block_erasures})
    statements.add(_RUNTIME / "canaries.sql", {"add_failure_of_waiting": _report})
    statements.add(_RUNTIME / "retry_schedules.sql", {"report_retry_schedule": _report})
    statements.add(PATH, LEAD_EVENTS)
    first_of_its_lead = store._FIRST_OF_ITS_LEAD
    statements.add(_WEBHOOKS / "queries.sql", QUERIES, first_of_its_lead=first_of_its_lead)
    statements.add(_WEBHOOKS / "outcome_writer.sql", OUTCOMES)
    return statements
