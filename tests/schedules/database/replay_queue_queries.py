"""The queries of the replay queue: failures are stored, and rows are claimed, sent and marked."""

from collections.abc import Callable
from typing import Any, Final
from uuid import UUID

from tests.schedules.database.notifier_queries import MAILS
from tests.schedules.database.persister_queries import LEADS, QUEUE, put_queue_row, queue_identity
from tests.schedules.database.pool import Query
from tests.schedules.database.server import Row, Transaction

_SENT_STATES: Final = ("waiting", "replaying")


def target_of(row: Row) -> str:
    """Return the target to which a row is sent."""
    by_origin = row["by_origin"] or row["stage"] == "site"
    return str(row["origin_topic"] if by_origin else row["stage"])


async def _lock_row(transaction: Transaction, row_id: UUID) -> Row | None:
    await transaction.lock(QUEUE, (row_id,))
    return transaction.get(QUEUE, (row_id,))


async def _find(transaction: Transaction, matches: Callable[[Row], bool]) -> list[Row]:
    """Return the row that matches, locked, if it still matches then."""
    for found in transaction.find(QUEUE, matches):
        row = await _lock_row(transaction, found["id"])
        if row and matches(row):
            return [row]
    return []


# --- failures ------------------------------------------------------------------------------------------


async def _origin_times(transaction: Transaction, p: Any) -> list[Row]:
    return [row for each in p.ids if (row := transaction.get(QUEUE, (each,)))]


async def _erased_leads(transaction: Transaction, p: Any) -> list[Row]:
    rows = [row for each in p.ids if (row := transaction.get(LEADS, (each,)))]
    return [row for row in rows if row["status"] == "erased"]


async def _find_by_id(transaction: Transaction, p: Any) -> list[Row]:
    return await _find(
        transaction, lambda row: (row["id"], row["stage"], row["kind"]) == (p.id, p.stage, p.kind)
    )


async def _find_by_lead(transaction: Transaction, p: Any) -> list[Row]:
    wanted = ("lead", p.stage, p.lead_id, p.kind)
    return await _find(transaction, lambda row: queue_identity(row) == wanted)


async def _find_by_origin(transaction: Transaction, p: Any) -> list[Row]:
    wanted = ("origin", p.stage, p.topic, p.partition, p.offset, p.kind)
    return await _find(transaction, lambda row: queue_identity(row) == wanted)


def _origin_columns(p: Any) -> Row:
    return {
        "origin_topic": p.topic,
        "origin_partition": p.partition,
        "origin_offset": p.offset,
        "origin_timestamp": p.origin_at,
        "origin_group": p.origin_group,
        "record_key": p.key,
        "payload": p.payload,
        "headers": p.headers,
    }


_STATE_COLUMNS: Final = ("state", "final", "reason", "error", "attempts", "next_attempt_at")
_NO_REQUEST: Final[Row] = dict.fromkeys(("requested_at", "requested_by", "requested_comment"))


async def _insert_row(transaction: Transaction, p: Any) -> list[Row]:
    row = {
        name: getattr(p, name) for name in (*_STATE_COLUMNS, "id", "stage", "kind", "lead_id", "by_origin")
    }
    row |= _origin_columns(p) | _NO_REQUEST
    row |= {"replay_lead_id": p.replay_lead_id, "last_failed_at": p.failed_at, "last_sent_at": None}
    await transaction.lock("replay_queue_identity", queue_identity(row))
    if transaction.find(QUEUE, lambda each: queue_identity(each) == queue_identity(row)):
        return []
    if await _lock_row(transaction, p.id):
        return []
    put_queue_row(transaction, row)
    return [{"id": p.id}]


async def _note_failure(transaction: Transaction, p: Any) -> list[Row]:
    if row := await _lock_row(transaction, p.id):
        at = max(row["last_failed_at"], p.failed_at)
        changes = {"reason": p.reason, "error": p.error, "last_failed_at": at}
        put_queue_row(transaction, row | changes)
    return []


def _moved(row: Row, p: Any) -> Row:
    """Return a row with its state after a failure."""
    changes = {name: getattr(p, name) for name in _STATE_COLUMNS} | {
        "by_origin": row["by_origin"] or p.by_origin,
        "replay_lead_id": row["replay_lead_id"] or p.replay_lead_id,
        "requested_at": None,
        "requested_by": None,
        "last_failed_at": max(row["last_failed_at"], p.failed_at),
    }
    return row | changes


async def _move_row(transaction: Transaction, p: Any) -> list[Row]:
    if row := await _lock_row(transaction, p.id):
        put_queue_row(transaction, _moved(row, p))
    return []


async def _renew_row(transaction: Transaction, p: Any) -> list[Row]:
    if row := await _lock_row(transaction, p.id):
        renewed = _moved(row, p) | _origin_columns(p) | {"last_failed_at": p.failed_at}
        put_queue_row(transaction, renewed)
    return []


async def _mark_mail_dead(transaction: Transaction, p: Any) -> list[Row]:
    key = (p.lead_id, p.kind)
    await transaction.lock(MAILS, key)
    row = transaction.get(MAILS, key)
    if row is None or row["state"] not in ("waiting", "reserved", "sending"):
        return []
    waits = row["state"] == "waiting"
    changed = row | ({"state": "dead"} if waits else {"settled_by": p.failure_id})
    transaction.put(MAILS, key, changed)
    return [changed]


# --- retries -------------------------------------------------------------------------------------------


def _is_due(row: Row, now: Any) -> bool:
    return bool(row["state"] in _SENT_STATES and row["next_attempt_at"] and row["next_attempt_at"] <= now)


def _is_requested(row: Row) -> bool:
    return bool(row["state"] == "waiting" and row["requested_at"])


def _targets(rows: list[Row]) -> list[Row]:
    return [
        {"stage": stage, "target": target}
        for stage, target in sorted({(r["stage"], target_of(r)) for r in rows})
    ]


async def _list_due_targets(transaction: Transaction, p: Any) -> list[Row]:
    return _targets(transaction.find(QUEUE, lambda row: _is_due(row, p.now)))


async def _list_requested_targets(transaction: Transaction, _: Any) -> list[Row]:
    return _targets(transaction.find(QUEUE, _is_requested))


async def _claim(transaction: Transaction, p: Any, rows: list[Row], order: str) -> list[Row]:
    """Lock the first rows for a target that nobody has locked."""
    found = [
        row
        for row in sorted(rows, key=lambda each: each[order])
        if (row["stage"], target_of(row)) == (p.stage, p.target)
        and not transaction.is_locked(QUEUE, (row["id"],))
    ][: p.chunk]
    for row in found:
        await transaction.lock(QUEUE, (row["id"],))
    return found


async def _claim_due(transaction: Transaction, p: Any) -> list[Row]:
    rows = transaction.find(QUEUE, lambda row: _is_due(row, p.now))
    return await _claim(transaction, p, rows, "next_attempt_at")


async def _claim_requested(transaction: Transaction, p: Any) -> list[Row]:
    return await _claim(transaction, p, transaction.find(QUEUE, _is_requested), "requested_at")


async def _move_to_end(transaction: Transaction, p: Any) -> list[Row]:
    for row_id in p.ids:
        row = await _lock_row(transaction, row_id)
        if row and row["state"] in _SENT_STATES:
            requested = transaction.now if row["requested_at"] else None
            put_queue_row(transaction, row | {"next_attempt_at": p.now, "requested_at": requested})
    return []


async def _mark_sent(transaction: Transaction, p: Any) -> list[Row]:
    for row_id, attempts in zip(p.ids, p.attempts, strict=True):
        if row := await _lock_row(transaction, row_id):
            sent = {"state": "replaying", "final": False, "attempts": attempts, "last_sent_at": p.now}
            changed = row | _NO_REQUEST | sent | {"next_attempt_at": p.overdue_at}
            put_queue_row(transaction, changed)
    return []


async def _resolve_rows(transaction: Transaction, p: Any) -> list[Row]:
    for row_id in p.ids:
        if row := await _lock_row(transaction, row_id):
            done = {"state": "resolved", "final": False, "payload": None, "next_attempt_at": None}
            put_queue_row(transaction, row | _NO_REQUEST | done | {"last_sent_at": p.now})
    return []


async def _mark_dead(transaction: Transaction, p: Any) -> list[Row]:
    if row := await _lock_row(transaction, p.id):
        dead = {"state": "dead", "final": True, "reason": p.reason, "next_attempt_at": None}
        put_queue_row(transaction, row | dead | {"requested_at": None, "requested_by": None})
    return []


async def _no_replay(_: Transaction, __: Any) -> list[Row]:
    return []


QUERIES: Final[dict[str, Query]] = {
    "origin_times": _origin_times,
    "erased_leads": _erased_leads,
    "find_by_id": _find_by_id,
    "find_by_lead": _find_by_lead,
    "find_by_origin": _find_by_origin,
    "insert_row": _insert_row,
    "note_failure": _note_failure,
    "move_row": _move_row,
    "renew_row": _renew_row,
    "mark_mail_dead": _mark_mail_dead,
    "list_due_targets": _list_due_targets,
    "list_requested_targets": _list_requested_targets,
    "claim_due": _claim_due,
    "claim_requested": _claim_requested,
    "move_to_end": _move_to_end,
    "mark_sent": _mark_sent,
    "resolve_rows": _resolve_rows,
    "mark_dead": _mark_dead,
    "claim_replay": _no_replay,
}
