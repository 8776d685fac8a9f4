"""Changes the status of several locked leads, writes the audit entries, and requests the emails."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from contracts.audit import AuditEvent, AuditRecorded
from contracts.leads import LeadStatus
from runtime.database.audit_log import append_entries
from runtime.database.postgres import Connection, load_queries
from services.admin.rules.lead_rules import emails_due, release_reason
from services.admin.store.leads.mail_requests import request_emails

_SQL: Any = load_queries(Path(__file__).with_name("status_changes.sql"))


async def change_statuses(
    connection: Connection, leads: Sequence[Any], new: LeadStatus, actor: str, details: dict[str, Any]
) -> dict[UUID, tuple[datetime, list[str]]]:
    """Set the status of each lead, request the emails that become due, and append the audit entries.

    `leads` are rows of `lead_inbox`. The caller has locked them in this transaction, and has checked that the
    change is allowed. `details` are added to the audit entry of each lead. Returns the new `updated_at` and
    the kinds of the requested emails, keyed by lead id.
    """
    requested = defaultdict[Any, list[str]](list)
    for current in {LeadStatus(lead["status"]) for lead in leads}:
        if due := emails_due(current, new):
            leaving = [lead for lead in leads if lead["status"] == current]
            rows = await request_emails(connection, leaving, due, actor, release_reason(current))
            for row in rows:
                requested[row["lead_id"]].append(row["kind"])
    rows = _SQL.set_statuses(connection, ids=[lead["id"] for lead in leads], status=new)
    changed = {row["id"]: (row["updated_at"], sorted(requested[row["id"]])) async for row in rows}
    entries = [
        audit_entry(
            AuditEvent.LEAD_STATUS_CHANGED,
            actor,
            lead,
            {"from": lead["status"], "to": new, "mails_requested": changed[lead["id"]][1]} | details,
        )
        for lead in leads
    ]
    await append_entries(connection, entries, database_time=True)
    return changed


def audit_entry(event: AuditEvent, actor: str, lead: Any, details: dict[str, Any]) -> AuditRecorded:
    """Return an audit entry about a lead. `lead` is a row of `lead_inbox`."""
    return AuditRecorded(
        event_id=uuid4(),
        occurred_at=datetime.now(UTC),
        event=event,
        actor=actor,
        lead_id=lead["id"],
        request_id=lead["request_id"],
        details=details,
    )
