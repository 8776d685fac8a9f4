"""The queries of the persister, and those of the audit log, the replay queue and the circuit breaker."""

import json
import time
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import asyncpg

from runtime.database import audit_log
from services.persister import store
from tests.schedules.database import ledger_queries as ledger
from tests.schedules.database.pool import Query, Statements
from tests.schedules.database.server import Key, Row, Transaction

LEADS: Final = "lead_inbox"
AUDIT: Final = "audit_log"
QUEUE: Final = "replay_queue"
CONTROL: Final = "stage_control"
MAX_RETRIES: Final = 3
_RUNTIME: Final = Path(audit_log.__file__).parent


async def _insert_leads(transaction: Transaction, p: Any) -> list[Row]:
    leads, entries = json.loads(p.leads), json.loads(p.entries)
    partitions = list(zip(p.topics, p.partitions, strict=True))
    locked = await ledger.lock_newest(transaction, p.stage, partitions)
    first = dict(zip(partitions, p.first_offsets, strict=True))
    continued = [row for row in locked if row["next_offset"] == first[row["topic"], row["partition"]]]
    if len(continued) < len(partitions):
        return []
    if p.ids and any(transaction.get(LEADS, (each,)) for each in p.ids):
        return []
    stored = list[UUID]()
    for lead in leads:
        lead_id = UUID(lead["lead_id"])
        if transaction.database.refuses(lead["lead_id"]):
            raise asyncpg.RaiseError("refused")
        await transaction.lock(LEADS, (lead_id,))
        if transaction.get(LEADS, (lead_id,)) is None:
            row = {"id": lead_id, "body_sha256": lead["body_sha256"], "status": "received"}
            transaction.put(LEADS, (lead_id,), row)
            stored.append(lead_id)
    for entry in entries:
        if UUID(entry["lead_id"]) in stored:
            await append(transaction, entry)
    columns = (p.next_offsets, p.last_records)
    positions = dict(zip(partitions, zip(*columns, strict=True), strict=True))
    for row in continued:
        next_offset, last_record = positions[row["topic"], row["partition"]]
        count = row["stored"] + next_offset - row["next_offset"] + len(stored) - len(p.ids)
        changed = row | {"next_offset": next_offset, "last_record": last_record, "stored": count}
        transaction.put(ledger.TABLE, ledger.key_of(row), ledger.balanced(changed))
    return [{"id": each} for each in stored]


async def append(transaction: Transaction, entry: Any) -> bool:
    """Append an audit entry, unless there is one with its id. Return True if it is new."""
    key = (UUID(entry["event_id"]),)
    await transaction.lock(AUDIT, key)
    if transaction.get(AUDIT, key):
        return False
    lead_id = UUID(entry["lead_id"]) if entry.get("lead_id") else None
    row = {"event_id": key[0], "event": entry["event"], "lead_id": lead_id, "details": entry.get("details")}
    transaction.put(AUDIT, key, row)
    return True


async def _insert_entries(transaction: Transaction, p: Any) -> list[Row]:
    return [
        {"event_id": UUID(entry["event_id"])}
        for entry in json.loads(p.entries)
        if await append(transaction, entry)
    ]


async def _known_leads(transaction: Transaction, p: Any) -> list[Row]:
    return [row for each in p.ids if (row := transaction.get(LEADS, (each,)))]


def queue_identity(row: Row) -> Key:
    """Return what is unique in the replay queue: the effect of a lead, or the origin."""
    if row["lead_id"] and not row["by_origin"]:
        return "lead", row["stage"], row["lead_id"], row["kind"]
    origin = row["origin_topic"], row["origin_partition"], row["origin_offset"]
    return "origin", row["stage"], *origin, row["kind"]


def put_queue_row(transaction: Transaction, row: Row) -> None:
    """Insert or replace a row of the replay queue. Raises what PostgreSQL raises for its constraints."""
    is_open = row["state"] in ("waiting", "replaying")
    if is_open and row["payload"] is None:
        raise asyncpg.CheckViolationError("waiting_has_a_payload")
    if is_open and row["next_attempt_at"] is None:
        raise asyncpg.CheckViolationError("waiting_has_a_time")
    if not 0 <= row["attempts"] <= MAX_RETRIES:
        raise asyncpg.CheckViolationError("at_most_three_retries")
    identity, current = queue_identity(row), transaction.get(QUEUE, (row["id"],))
    is_new = current is None or queue_identity(current) != identity
    if is_new and transaction.find(QUEUE, lambda each: queue_identity(each) == identity):
        raise asyncpg.UniqueViolationError(f"replay_queue_{identity[0]}")
    transaction.put(QUEUE, (row["id"],), row)


async def resolve(transaction: Transaction, stage: str, queue_ids: list[Any], effects: list[Any]) -> None:
    """Resolve the rows of the replay queue with these ids, and those of these leads and kinds."""
    rows = transaction.find(
        QUEUE,
        lambda row: (
            row["id"] in queue_ids
            or (row["stage"] == stage and (row["lead_id"], row["kind"]) in effects and not row["by_origin"])
        ),
    )
    for found in rows:
        await transaction.lock(QUEUE, (found["id"],))
        row = transaction.get(QUEUE, (found["id"],))
        if row and row["state"] != "resolved":
            done = {"state": "resolved", "payload": None, "next_attempt_at": None, "requested_at": None}
            put_queue_row(transaction, row | done)


async def _resolve_rows(transaction: Transaction, p: Any) -> list[Row]:
    await resolve(transaction, p.stage, p.queue_ids, list(zip(p.lead_ids, p.kinds, strict=True)))
    return []


async def _is_paused(transaction: Transaction, p: Any) -> list[Row]:
    row = transaction.get(CONTROL, (p.stage,))
    return [{"paused": row["paused"]}] if row else []


async def _pause(transaction: Transaction, p: Any) -> list[Row]:
    await transaction.lock(CONTROL, (p.stage,))
    transaction.put(CONTROL, (p.stage,), {"stage": p.stage, "paused": True, "at": time.time()})
    return []


async def _refresh_pause(transaction: Transaction, p: Any) -> list[Row]:
    await transaction.lock(CONTROL, (p.stage,))
    row = transaction.get(CONTROL, (p.stage,))
    if not row or not row["paused"]:
        return []
    transaction.put(CONTROL, (p.stage,), row | {"at": time.time()})
    return [{"bool": True}]


async def _resume_abandoned(transaction: Transaction, p: Any) -> list[Row]:
    row = transaction.get(CONTROL, (p.stage,))
    if row and row["paused"] and row["at"] < time.time() - p.seconds:
        await transaction.lock(CONTROL, (p.stage,))
        transaction.put(CONTROL, (p.stage,), row | {"paused": False})
    return []


PERSISTER: Final[dict[str, Query]] = {"insert_leads": _insert_leads, "known_leads": _known_leads}
BREAKER: Final[dict[str, Query]] = {
    "is_paused": _is_paused,
    "pause": _pause,
    "refresh_pause": _refresh_pause,
    "resume_abandoned": _resume_abandoned,
}


def persister_statements() -> Statements:
    """Return all queries that the persister sends."""
    statements = Statements()
    add_runtime(statements)
    statements.add(Path(store.__file__).with_name("queries.sql"), PERSISTER)
    return statements


def add_runtime(statements: Statements) -> None:
    """Add the queries of the ledger, the audit log, the replay queue and the circuit breaker."""
    statements.add(ledger.PATH, ledger.QUERIES)
    statements.add(_RUNTIME / "audit_log.sql", {"insert_entries": _insert_entries})
    statements.add(_RUNTIME / "replay_queue.sql", {"resolve_rows": _resolve_rows})
    statements.add(_RUNTIME / "circuit_breaker.sql", BREAKER)
