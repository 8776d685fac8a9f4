"""The queries that the notifier sends for emails that go out one by one: not those of digests."""

import time
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import asyncpg

import services.notifier as product
from runtime.database import audit_log
from tests.schedules.database import persister_queries as shared
from tests.schedules.database.pool import Query, Statements
from tests.schedules.database.server import Row, Transaction
from tests.schedules.simulation.event_loop import current_process

MAILS: Final = "email_delivery"
HELD: Final = "held_lead"
COLLECTED: Final = "collected_alert"
_NOTIFIER: Final = Path(product.__file__).parent
_RUNTIME: Final = Path(audit_log.__file__).parent
_DAY_SECONDS: Final = 86_400.0
_HOUR_SECONDS: Final = 3600.0
_DIGEST_KEY: Final = b"simulated" * 4
_OPEN: Final = ("reserved", "sending")


def _columns(p: Any, *names: str) -> list[tuple[Any, ...]]:
    """Return the rows of these array parameters, as `unnest` does."""
    return list(zip(*(getattr(p, name) for name in names), strict=True))


def _put(transaction: Transaction, row: Row) -> None:
    if row["state"] in _OPEN and row["lease_until"] is None:
        raise asyncpg.CheckViolationError("in_hand_has_a_lease")
    transaction.put(MAILS, (row["lead_id"], row["kind"]), row)


async def _locked(transaction: Transaction, lead_id: UUID, kind: str) -> Row | None:
    """Lock a row and return it as it is then. Returns None if there is none."""
    if transaction.get(MAILS, (lead_id, kind)) is None:
        return None
    await transaction.lock(MAILS, (lead_id, kind))
    return transaction.get(MAILS, (lead_id, kind))


# --- batch_data.sql ------------------------------------------------------------------------------------


async def _lock_rows(transaction: Transaction, p: Any) -> list[Row]:
    found = list[Row]()
    rows = transaction.find(MAILS, lambda row: row["lead_id"] in p.lead_ids)
    for key in sorted((row["lead_id"], row["kind"]) for row in rows):
        if row := await _locked(transaction, *key):
            seconds = row["lease_until"] - time.time() if row["lease_until"] else 0.0
            collected = key[1] == "admin_alert" and bool(transaction.get(COLLECTED, key[:1]))
            found.append(row | {"lease_seconds": seconds, "in_digest": collected})
    return found


async def _statuses(transaction: Transaction, p: Any) -> list[Row]:
    return [row for each in p.lead_ids if (row := transaction.get(shared.LEADS, (each,)))]


async def _lock_mailboxes(transaction: Transaction, p: Any) -> list[Row]:
    for mailbox in p.mailboxes:
        await transaction.lock("advisory", (mailbox,))
    return []


def _counts_as_welcome(row: Row) -> bool:
    return bool(row["kind"] == "welcome" and row["state"] != "suppressed")


async def _recent_welcomes(transaction: Transaction, p: Any) -> list[Row]:
    since = time.time() - _DAY_SECONDS
    return transaction.find(
        MAILS,
        lambda row: _counts_as_welcome(row) and row["mailbox"] in p.mailboxes and row["created_at"] > since,
    )


async def _welcomes_of_sites(transaction: Transaction, p: Any) -> list[Row]:
    found = list[Row]()
    for site, hour in _columns(p, "sites", "hours"):
        welcomes = transaction.find(
            MAILS,
            lambda row, site=site, hour=hour: (  # type: ignore[misc]
                _counts_as_welcome(row)
                and row["site"] == site
                and 0 <= (row["lead_received_at"] - hour).total_seconds() < _HOUR_SECONDS
            ),
        )
        found.append({"site": site, "hour": hour, "welcomes": len(welcomes)})
    return found


# --- queries.sql ---------------------------------------------------------------------------------------


async def _insert_rows(transaction: Transaction, p: Any) -> list[Row]:
    names = ("lead_ids", "kinds", "recipients", "mailboxes", "message_ids", "reasons", "collected")
    inserted = list[Row]()
    for values in sorted(_columns(p, *names, "record_ids", "sites", "received_ats"), key=lambda v: v[:2]):
        lead_id, kind, recipient, mailbox, message_id, reason, collected, *origin = values
        record_id, site, received_at = origin
        if transaction.database.refuses(str(lead_id)):
            raise asyncpg.RaiseError("refused")
        await transaction.lock(MAILS, (lead_id, kind))
        if transaction.get(MAILS, (lead_id, kind)):
            continue
        is_reserved = reason is None and not collected
        row = {
            "lead_id": lead_id,
            "kind": kind,
            "state": "suppressed" if reason else "collected" if collected else "reserved",
            "owner": p.owner if is_reserved else None,
            "lease_until": time.time() + p.lease_seconds if is_reserved else None,
            "recipient": recipient if reason != "erased" else None,
            "mailbox": mailbox if reason != "erased" else None,
            "message_id": message_id,
            "reason": reason,
            "settled_by": None if is_reserved else record_id,
            "site": site,
            "lead_received_at": received_at,
            "created_at": time.time(),
            "attempts": 0,
        }
        _put(transaction, row)
        inserted.append({"lead_id": lead_id})
        if kind == "admin_alert" and reason == "held":
            transaction.put(HELD, (lead_id,), {"lead_id": lead_id, "site": site})
    return inserted


async def _take_rows(transaction: Transaction, p: Any) -> list[Row]:
    for lead_id, kind, recipient, mailbox, message_id in _columns(
        p, "lead_ids", "kinds", "recipients", "mailboxes", "message_ids"
    ):
        if not (row := await _locked(transaction, lead_id, kind)):
            continue
        changed = {"owner": p.owner, "lease_until": time.time() + p.lease_seconds}
        if row["state"] != "sending":
            named = {"recipient": recipient, "mailbox": mailbox, "message_id": message_id}
            changed |= {"state": "reserved"} | named
        _put(transaction, row | changed)
    return []


async def _move_mails(transaction: Transaction, p: Any) -> list[Row]:
    names = ("lead_ids", "kinds", "states", "record_ids", "queue_ids", "reasons", "tries", "events")
    moved = list[Row]()
    for values in sorted(_columns(p, *names, "event_ids"), key=lambda v: v[:2]):
        lead_id, kind, state, record_id, queue_id, reason, tries, event, event_id = values
        row = transaction.get(MAILS, (lead_id, kind))
        if not row or row["owner"] != p.owner:
            continue
        row = await _locked(transaction, lead_id, kind)
        if not row or row["owner"] != p.owner:
            continue
        if state == "sending":
            lead = transaction.get(shared.LEADS, (lead_id,)) or {"status": ""}
            if row["state"] != "reserved" or row["recipient"] is None or lead["status"] == "erased":
                continue
            _put(transaction, row | {"state": state, "lease_until": time.time() + p.lease_seconds})
            transaction.database.attempts[current_process(), lead_id, kind] = record_id
        elif row["state"] not in _OPEN:
            continue
        else:
            if state == "waiting" and row["settled_by"] == record_id:
                state = "dead"
            elif state == "waiting" and row["recipient"] is None:
                state, reason, event = "suppressed", "erased", "email.suppressed"
            attempts = row["attempts"] + tries
            ended = {"state": state, "reason": reason, "owner": None, "lease_until": None}
            _put(transaction, row | ended | {"attempts": attempts, "settled_by": record_id})
            details = {"kind": kind, "reason": reason, "attempt": attempts}
            entry = {"event_id": str(event_id), "event": event, "lead_id": str(lead_id), "details": details}
            await shared.append(transaction, entry)
            if state == "sent":
                await shared.resolve(transaction, "notifier", [queue_id], [(lead_id, kind)])
        moved.append({"lead_id": lead_id, "kind": kind, "state": state})
    return moved


async def _release_rows(transaction: Transaction, p: Any) -> list[Row]:
    for lead_id, kind, tried in _columns(p, "lead_ids", "kinds", "tried"):
        row = await _locked(transaction, lead_id, kind)
        unsent = ("reserved", "sending") if tried else ("reserved",)
        if row and row["owner"] == p.owner and row["state"] in unsent:
            _put(transaction, row | {"state": "reserved", "lease_until": time.time()})
    return []


async def _suppress_row(transaction: Transaction, p: Any) -> list[Row]:
    row = await _locked(transaction, p.lead_id, p.kind)
    if not row or row["state"] == "sent":
        return []
    changed = {"state": "suppressed", "reason": p.reason, "owner": None, "lease_until": None}
    if p.reason == "erased":
        changed["recipient"] = None
    _put(transaction, row | changed | {"settled_by": p.record_id})
    return [{"attempts": row["attempts"]}]


# --- recover_mail_outcomes.sql -------------------------------------------------------------------------


async def _leads_without_outcome(transaction: Transaction, _: Any) -> list[Row]:
    rows = transaction.find(MAILS, lambda row: row["state"] in _OPEN)
    return [{"lead_id": each} for each in dict.fromkeys(row["lead_id"] for row in rows)]


async def _write_mail(transaction: Transaction, p: Any) -> list[Row]:
    key = (p.lead_id, p.kind)
    await transaction.lock(MAILS, key)
    row = transaction.get(MAILS, key) or {
        "lead_id": p.lead_id,
        "kind": p.kind,
        "recipient": p.recipient,
        "mailbox": p.mailbox,
        "message_id": p.message_id,
        "site": p.site,
        "lead_received_at": p.received_at,
        "created_at": time.time(),
        "attempts": 0,
    }
    changed = {"state": p.state, "reason": p.reason, "settled_by": p.record_id}
    _put(transaction, row | changed | {"owner": None, "lease_until": None})
    return []


# --- what nothing in a schedule has: erasures, suppressed addresses, digests, canaries, other leads ------


async def _none(_: Transaction, __: Any) -> list[Row]:
    return []


async def _digest_key(_: Transaction, __: Any) -> list[Row]:
    return [{"key": _DIGEST_KEY}]


async def _has_held_leads(transaction: Transaction, _: Any) -> list[Row]:
    return [{"has_work": bool(transaction.find(HELD, lambda _: True))}]


async def _has_collected_alerts(transaction: Transaction, _: Any) -> list[Row]:
    return [{"has_work": bool(transaction.find(COLLECTED, lambda _: True))}]


BATCH_DATA: Final[dict[str, Query]] = {
    "lock_rows": _lock_rows,
    "statuses": _statuses,
    "lock_mailboxes": _lock_mailboxes,
    "recent_welcomes": _recent_welcomes,
    "welcomes_of_sites": _welcomes_of_sites,
}
QUERIES: Final[dict[str, Query]] = {
    "insert_rows": _insert_rows,
    "take_rows": _take_rows,
    "move_mails": _move_mails,
    "release_rows": _release_rows,
    "suppress_row": _suppress_row,
}
RECOVERY: Final[dict[str, Query]] = {
    "leads_without_outcome": _leads_without_outcome,
    "write_mail": _write_mail,
}


def notifier_statements() -> Statements:
    """Return the queries of the notifier. A digest that lists something fails the schedule."""
    statements = Statements()
    shared.add_runtime(statements)
    statements.add(_RUNTIME / "erasure.sql", {"block_erasures": _none})
    suppressed: dict[str, Query] = {"digest_key": _digest_key, "find_suppressed": _none}
    statements.add(_RUNTIME / "suppressed_addresses.sql", suppressed)
    statements.add(_RUNTIME / "canaries.sql", {"add_failure_of_waiting": _none})
    statements.add(_NOTIFIER / "queries.sql", QUERIES)
    statements.add(_NOTIFIER / "batch_data.sql", BATCH_DATA)
    statements.add(_NOTIFIER / "other_leads.sql", {"other_leads": _none})
    statements.add(_NOTIFIER / "recovery" / "recover_mail_outcomes.sql", RECOVERY)
    statements.add(_NOTIFIER / "digests" / "held_digests.sql", {"has_work": _has_held_leads})
    statements.add(_NOTIFIER / "digests" / "digest_store.sql", {"has_work": _has_collected_alerts})
    return statements
