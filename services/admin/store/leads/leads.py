"""Leads: list them, show one, change its status, and send one of its emails again.

The methods raise `DependencyUnavailable`, and the errors of `services.admin.rules.errors`.
"""

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from pydantic import Base64Bytes, TypeAdapter

from contracts.failures import Kind
from contracts.leads import LeadStatus
from contracts.reasons import Reason
from runtime.database.postgres import Connection, Pool, autocommit, load_queries, snapshot, transaction
from services.admin.rules import timeline
from services.admin.rules.errors import ConflictError, NotFoundError
from services.admin.rules.lead_edit_rules import queued_name
from services.admin.rules.lead_rules import (
    check_resend,
    check_status_change,
    mails_text,
)
from services.admin.schemas.cursors import Position, split_page
from services.admin.schemas.filters import LeadFilter
from services.admin.schemas.leads import (
    AuditEntry,
    Email,
    Lead,
    LeadDetail,
    LeadNote,
    LeadPage,
    QueueItem,
    Resent,
    StatusChanged,
)
from services.admin.store.leads.mail_requests import request_emails
from services.admin.store.leads.search import count_up_to, find_leads, find_sorted
from services.admin.store.leads.status_changes import change_statuses
from services.admin.store.planning import plan_for_values
from services.admin.texts import gettext, gettext_noop

_SQL: Any = load_queries(Path(__file__).with_name("leads.sql"))
NO_SUCH_LEAD: Final = gettext_noop("There is no lead with this id.")


class _QueueRow(QueueItem):
    origin_timestamp: datetime
    by_origin: bool
    payload: Base64Bytes | None


_QUEUE_ROWS: Final = TypeAdapter(list[_QueueRow])
_NOTES: Final = TypeAdapter(list[LeadNote])
_EMAILS: Final = TypeAdapter(list[Email])
_AUDIT_ENTRIES: Final = TypeAdapter(list[AuditEntry])


class Leads:
    """Reads and changes the rows of the table `lead_inbox`."""

    def __init__(self, pool: Pool, site_name: Callable[[str], str] = str) -> None:
        """`site_name` returns the name that pages show for a site. Its argument is the key of the site."""
        self._pool = pool
        self._site_name = site_name

    async def list_leads(self, filters: LeadFilter) -> LeadPage:
        """Return a page of leads in the order of the filter, and the number of leads that match."""
        async with snapshot(self._pool) as connection:
            await plan_for_values(connection)
            if filters.sort == "received":
                leads, total, is_estimate = await find_leads(connection, filters)
                page, next_cursor = split_page(
                    leads, filters.limit, lambda lead: Position(lead.created_at_utc, lead.id)
                )
            else:
                page, next_cursor, total, is_estimate = await find_sorted(connection, filters)
        return LeadPage(
            leads=page,
            total=total,
            total_is_estimate=is_estimate,
            limit=filters.limit,
            offset=filters.offset,
            next_cursor=next_cursor,
        )

    async def count_since(self, filters: LeadFilter, since: datetime, bound: int) -> int:
        """Return how many leads match the filter and arrived at `since` or later.

        The count stops at `bound`.
        """
        later = max(since, filters.since) if filters.since else since
        async with snapshot(self._pool) as connection:
            await plan_for_values(connection)
            return await count_up_to(connection, filters.selection() | {"since": later}, bound)

    async def get_lead(self, lead_id: UUID) -> LeadDetail:
        """Return a lead with its emails, queue rows and timeline, all as of the same moment.

        If the lead is not stored yet, it is read from its row of the replay queue. Raises `NotFoundError` if
        there is no such row.
        """
        async with autocommit(self._pool) as connection:
            row = await _SQL.get_lead(connection, id=lead_id)
        lead, queue = row if row["id"] else None, _QUEUE_ROWS.validate_json(row["queue"])
        if lead is None:
            queue = [item.model_copy(update={"lead_name": queued_name(dict(item))}) for item in queue]
        # A lead that is not stored yet exists only as a queue row of the persister or of a website's queue.
        if lead is None and not any(item.stage in ("persister", "site") for item in queue):
            raise NotFoundError(gettext(NO_SUCH_LEAD))
        emails, entries = _EMAILS.validate_json(row["emails"]), _AUDIT_ENTRIES.validate_json(row["entries"])
        return LeadDetail(
            lead=Lead.model_validate(dict(lead)) if lead else None,
            notes=_NOTES.validate_json(row["lead_notes"]),
            emails=emails,
            queue=[*queue],
            timeline=timeline.build(
                lead, map(dict, entries), map(dict, emails), map(dict, queue), self._site_name
            ),
            audit=entries,
            audit_archived_until=row["audit_archived_until"],
        )

    async def change_status(
        self,
        lead_id: UUID,
        new: LeadStatus,
        expected: LeadStatus | None,
        actor: str,
        *,
        unchanged_since: datetime | None = None,
    ) -> StatusChanged:
        """Set a lead's status, write the audit entry, and request the emails that become due.

        Raises `NotFoundError` if the lead is not stored, and `ConflictError` if the change is not allowed.
        Also raises `ConflictError` if the current status is not `expected`, or if the lead's `updated_at` is
        not `unchanged_since`. Pass None to skip one of these two checks.
        """
        async with transaction(self._pool) as connection:
            row = await lock_existing_lead(connection, lead_id)
            current, previous_updated_at = LeadStatus(row["status"]), row["updated_at"]
            if unchanged_since not in (None, previous_updated_at):
                raise ConflictError(gettext("This lead was changed since. Look at it, then set its status."))
            changed = check_status_change(current, new, expected)
            requested: list[str] = []
            if changed:
                changes = await change_statuses(connection, [row], new, actor, {})
                updated_at, requested = changes[lead_id]
                row = {**row, "status": new, "updated_at": updated_at}
        message = f"Status changed from {current} to {new}." if changed else f"The status was already {new}."
        if requested:
            message += f" Sending {mails_text(requested)}."
        return StatusChanged(
            lead=Lead.model_validate(dict(row)),
            previous_status=current,
            previous_updated_at=previous_updated_at,
            changed=changed,
            mails_requested=requested,
            message=message,
        )

    async def resend_email(self, lead_id: UUID, kind: Kind, actor: str) -> Resent:
        """Request that the notifier resends one email of a lead. The notifier resends it within seconds.

        Raises `NotFoundError` if the lead is not stored, and `ConflictError` if the email must not be sent.
        """
        async with transaction(self._pool) as connection:
            row = await lock_existing_lead(connection, lead_id)
            delivery_state = await _SQL.delivery_state(connection, id=lead_id, kind=kind)
            check_resend(LeadStatus(row["status"]), kind, delivery_state, row["email"])
            # The flusher that sends it writes the audit entry `lead.replayed`, in this actor's name.
            (queued,) = await request_emails(connection, [row], (kind,), actor, Reason.REQUESTED_BY_ADMIN)
        return Resent(
            lead_id=lead_id,
            kind=kind,
            queue_id=queued["id"],
            message="The email is sent within seconds. The lead's emails show the outcome.",
        )


async def lock_lead(connection: Connection, lead_id: UUID) -> Any:
    """Return the row of a lead and lock it until the transaction ends.

    Return None if the lead is not stored.
    """
    return await _SQL.lock_lead(connection, id=lead_id)


async def lock_existing_lead(connection: Connection, lead_id: UUID) -> Any:
    """Return the row of a lead, as `lock_lead` does. Raises `NotFoundError` if the lead is not stored."""
    row = await lock_lead(connection, lead_id)
    if row is None:
        raise NotFoundError(gettext(NO_SUCH_LEAD))
    return row
