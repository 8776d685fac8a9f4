"""The data of one person: edit and export it. Each edit and each export is audited.

The methods raise `DependencyUnavailable`, and the errors of `services.admin.rules.errors`.
"""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from contracts.audit import AuditEvent
from contracts.leads import LeadStatus, as_received
from runtime.database.audit_log import append_action
from runtime.database.postgres import Connection, Pool, load_queries, snapshot, transaction
from services.admin.rules import lead_edit_rules
from services.admin.rules.errors import ConflictError, NotFoundError
from services.admin.rules.personal_data import (
    Traces,
    addresses_of,
    kafka_keeps,
    own_rows,
    to_queue_row,
)
from services.admin.schemas.lead_edits import ADMIN_FIELDS, VISITOR_FIELDS, Edited, LeadEdit, QueuedLead
from services.admin.schemas.leads import AuditEntry, Lead
from services.admin.schemas.personal_data import PersonData
from services.admin.store.deliveries.destinations import list_lead_deliveries
from services.admin.store.leads.leads import NO_SUCH_LEAD, lock_lead
from services.admin.store.leads.notes import list_notes
from services.admin.store.privacy.erasure import find_traces
from services.admin.texts import gettext

_SQL: Any = load_queries(Path(__file__).with_name("personal_data.sql"))


class PersonalData:
    """Edits and exports the personal data of one lead."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def edit(self, lead_id: UUID, edit: LeadEdit, actor: str) -> Edited:
        """Change a lead's fields, also in the lead's queued emails.

        If the lead is not stored yet, its fields are changed in its queued record.
        """
        async with transaction(self._pool) as connection:
            lead = await lock_lead(connection, lead_id)
            if lead is None:
                return await _edit_queued(connection, lead_id, edit, actor)
            lead_edit_rules.check_edit(LeadStatus(lead["status"]), lead["updated_at"], edit)
            changed = lead_edit_rules.changed_fields(lead, edit)
            queue_ids: list[UUID] = []
            if changed:
                fields = {name: lead[name] for name in (*VISITOR_FIELDS, *ADMIN_FIELDS)} | changed
                original = lead_edit_rules.original_fields(lead, changed)
                edited_at = await _SQL.edit_lead(connection, id=lead_id, original=original, **fields)
                lead = {**lead, **fields, "updated_at": edited_at}
                if original:
                    payload = as_received(lead, uuid4()).model_dump_json().encode()
                    queue_ids = await _edit_mails(connection, lead_id, payload)
                await _audit_edit(connection, actor, lead_id, lead["request_id"], list(changed))
        return Edited(
            lead=Lead.model_validate(dict(lead)),
            changed=list(changed),
            queue_ids=queue_ids,
            updated_at=lead["updated_at"],
            message=_edit_message(changed, len(queue_ids)),
        )

    async def read_queued_lead(self, lead_id: UUID) -> QueuedLead | None:
        """Return a lead that is not stored yet. Its fields are read from its queued record.

        Return None if there is no record that can be decoded.
        """
        async with snapshot(self._pool) as connection:
            queue = _SQL.read_queue(connection, id=lead_id)
            rows = [row async for row in queue if lead_edit_rules.is_queued_lead(row)]
        return next((lead for row in rows if (lead := lead_edit_rules.queued_lead(row))), None)

    async def export_person(self, lead_id: UUID, actor: str) -> PersonData:
        """Return everything that is stored about a lead, and the ids of the person's other leads.

        The export is audited.
        """
        async with transaction(self._pool) as connection:
            lead = await _SQL.read_lead(connection, id=lead_id)
            rows_of_lead = [row async for row in _SQL.read_queue(connection, id=lead_id)]
            emails = [row async for row in _SQL.read_emails(connection, id=lead_id)]
            deliveries = await list_lead_deliveries(connection, lead_id)
            if lead is None and not rows_of_lead and not emails and not deliveries:
                raise NotFoundError(gettext(NO_SUCH_LEAD))
            person = Traces()
            addresses = addresses_of(lead, emails, rows_of_lead)
            for address in sorted(addresses):
                person |= await find_traces(connection, address)
            notes = await list_notes(connection, lead_id)
            queue = own_rows(lead, rows_of_lead, addresses)
            other_records = person.records - {row["id"] for row in queue}
            queue += [row async for row in _SQL.read_records(connection, ids=list(other_records))]
            request_id = lead["request_id"] if lead else None
            await append_action(
                connection, AuditEvent.LEAD_EXPORTED, actor, {"what": "person"}, lead_id, request_id
            )
            entries = [row async for row in _SQL.read_entries(connection, id=lead_id)]
            since = lead["created_at_utc"] if lead else None
            archived_until = await _SQL.archived_until(connection, since=since)
        return PersonData(
            exported_at=datetime.now(UTC),
            lead=dict(lead) if lead else None,
            notes=notes,
            emails=[dict(row) for row in emails],
            queue=[to_queue_row(row) for row in queue],
            deliveries=deliveries,
            audit=[AuditEntry.model_validate(dict(row)) for row in entries],
            audit_archived_until=archived_until,
            other_leads=sorted(person.leads - {lead_id}),
            kafka=kafka_keeps(datetime.now(UTC)),
        )


async def _edit_queued(connection: Connection, lead_id: UUID, edit: LeadEdit, actor: str) -> Edited:
    """Change the queued record of a lead that is not stored yet."""
    rows = [row async for row in _SQL.lock_queued(connection, id=lead_id)]
    if not rows:
        raise NotFoundError(gettext(NO_SUCH_LEAD))
    row = next((each for each in rows if each["state"] != "replaying"), None)
    if row is None:
        raise ConflictError(gettext("The lead is being stored at this moment. Look again in a minute."))
    lead_edit_rules.check_unchanged(row["updated_at"], edit)
    lead = lead_edit_rules.decode_queued_lead(row["payload"], row["stage"])
    changed = lead_edit_rules.changed_fields(dict.fromkeys(ADMIN_FIELDS) | lead, edit)
    queue_ids = list[UUID]()
    if changed:
        payload = lead_edit_rules.encode_queued_lead(row["payload"], changed)
        await _SQL.edit_queued(connection, id=row["id"], payload=payload)
        # A lead that the gateway refused has no emails.
        mails = [] if row["stage"] == "site" else await _edit_mails(connection, lead_id, payload)
        queue_ids = [row["id"], *mails]
        await _audit_edit(connection, actor, lead_id, lead.get("request_id"), list(changed))
        rows = [each async for each in _SQL.lock_queued(connection, id=lead_id)]
        row = next(each for each in rows if each["id"] == row["id"])
    return Edited(
        lead=None,
        changed=list(changed),
        queue_ids=queue_ids,
        updated_at=row["updated_at"],
        message=_edit_message(changed, len(queue_ids)),
    )


async def _edit_mails(connection: Connection, lead_id: UUID, payload: bytes) -> list[UUID]:
    return [row["id"] async for row in _SQL.edit_mails(connection, id=lead_id, payload=payload)]


async def _audit_edit(
    connection: Connection, actor: str, lead_id: UUID, request_id: str | None, changed: list[str]
) -> None:
    await append_action(connection, AuditEvent.LEAD_EDITED, actor, {"fields": changed}, lead_id, request_id)


def _edit_message(changed: dict[str, str | None], queue_rows: int) -> str:
    if not changed:
        return "Nothing is different: nothing was changed."
    message = f"Changed: {', '.join(changed)}."
    if queue_rows == 1:
        message += " 1 queued delivery uses the new fields."
    elif queue_rows:
        message += f" {queue_rows} queued deliveries use the new fields."
    return message
