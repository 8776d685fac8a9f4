"""The adapter to PostgreSQL for what is done with a person's data: edit, export, erase. All of it audited.

Raises `DependencyUnavailable`, and from `services.admin.rules` `Unknown` and `Refused`.
"""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from uuid import UUID, uuid4

from contracts.audit import AuditEvent
from contracts.leads import LeadStatus
from runtime.database.postgres import Connection, Pool, load_queries, snapshot, transaction
from services.admin.rules import csv_export
from services.admin.rules.lead_rules import Refused, Unknown, as_received
from services.admin.schemas import lead_edits
from services.admin.schemas import leads as lead_schemas
from services.admin.schemas.filters import ExportFilter
from services.admin.schemas.personal_data import (
    Erased,
    ErasedPerson,
    PersonData,
    PersonRecords,
    Selection,
    Traces,
    addresses_of,
    kafka_keeps,
    own_rows,
    shown,
)
from services.admin.store import personal_data_erasure
from services.admin.store.search import count_leads

SQL: Any = load_queries(Path(__file__).with_name("personal_data.sql"))
# Rows of one piece of an export: at most about 20 MB with the longest of messages, mostly 1 MB.
EXPORT_CHUNK: Final = 1000


class People:
    """What admins do with people's data."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def edit(self, lead_id: UUID, edit: lead_edits.LeadEdit, actor: str) -> lead_edits.Edited:
        """Change a lead's fields, stored or parked, and those of its mails that may be tried again."""
        async with transaction(self._pool) as connection:
            lead = await SQL.lock_lead(connection, id=lead_id)
            if lead is None:
                return await _edit_parked(connection, lead_id, edit, actor)
            lead_edits.judge_edit(LeadStatus(lead["status"]), lead["updated_at"], edit)
            changed = lead_edits.changes(lead, edit)
            queue_ids: list[UUID] = []
            if changed:
                fields = {name: lead[name] for name in (*lead_edits.VISITORS, *lead_edits.OURS)} | changed
                original = lead_edits.original_of(lead, changed)
                lead = await SQL.edit_lead(connection, id=lead_id, original=original, **fields)
                if original:
                    payload = as_received(lead, uuid4()).model_dump_json().encode()
                    queue_ids = await _edit_mails(connection, lead_id, payload)
                await _tell_edit(connection, actor, lead_id, lead["request_id"], list(changed))
        return lead_edits.Edited(
            lead=lead_schemas.Lead.model_validate(dict(lead)),
            changed=list(changed),
            queue_ids=queue_ids,
            updated_at=lead["updated_at"],
            message=_said(changed, len(queue_ids)),
        )

    async def read_parked(self, lead_id: UUID) -> lead_edits.Parked | None:
        """Return a lead that waits to be stored, as its record has it; None where that cannot be read."""
        async with snapshot(self._pool) as connection:
            found = SQL.read_queue(connection, id=lead_id)
            rows = [row async for row in found if row["stage"] == "persister" and not row["by_origin"]]
        return next((found for row in rows if (found := lead_edits.parked(row))), None)

    async def export_leads(self, asked: ExportFilter, actor: str) -> AsyncIterator[str]:
        """Return the leads as CSV, piece by piece; the audit entry is there before the first piece is."""
        wanted = asked.selection()
        kinds = sorted(name for name, value in wanted.items() if value is not None)
        async with transaction(self._pool) as connection:
            await SQL.plan_for_these_values(connection)
            count, estimated = await count_leads(connection, wanted)
            # What was filtered by, never for what: a search is often an address.
            details = {"what": "csv", "filters": kinds, "count": count}
            details |= {"count_is_estimate": True} if estimated else {}
            await _tell(connection, AuditEvent.LEAD_EXPORTED, actor, details)
        return self._pieces(wanted)

    async def _pieces(self, wanted: dict[str, Any]) -> AsyncIterator[str]:
        """Yield chunks, each read in a transaction of its own: a reader that stops holds none open."""
        yield csv_export.header()
        last: dict[str, Any] = {"after_at": None, "after_id": None}
        while True:
            async with transaction(self._pool) as connection:
                await SQL.plan_for_these_values(connection)
                found = SQL.list_export(connection, **wanted, **last, limit=EXPORT_CHUNK)
                rows = [row async for row in found]
            yield csv_export.lines(rows)
            if len(rows) < EXPORT_CHUNK:
                return
            last = {"after_at": rows[-1]["created_at_utc"], "after_id": rows[-1]["id"]}

    async def export_person(self, lead_id: UUID, actor: str) -> PersonData:
        """Return everything that we hold of a lead, and name the person's other leads."""
        async with transaction(self._pool) as connection:
            lead = await SQL.read_lead(connection, id=lead_id)
            under = [row async for row in SQL.read_queue(connection, id=lead_id)]
            emails = [row async for row in SQL.read_emails(connection, id=lead_id)]
            if lead is None and not under and not emails:
                raise Unknown("There is no lead with this id.")
            person = Traces()
            theirs = addresses_of(lead, emails, under)
            for address in sorted(theirs):
                person |= await personal_data_erasure.traces_of(connection, address)
            queue = own_rows(lead, under, theirs)
            elsewhere = person.records - {row["id"] for row in queue}
            queue += [row async for row in SQL.read_records(connection, ids=list(elsewhere))]
            request_id = lead["request_id"] if lead else None
            await _tell(connection, AuditEvent.LEAD_EXPORTED, actor, {"what": "person"}, lead_id, request_id)
            entries = [row async for row in SQL.read_entries(connection, id=lead_id)]
        return PersonData(
            exported_at=datetime.now(UTC),
            # All but what is derived from the rest.
            lead={name: value for name, value in lead.items() if name != "words"} if lead else None,
            emails=[dict(row) for row in emails],
            queue=[shown(row) for row in queue],
            audit=[lead_schemas.AuditEntry.model_validate(dict(row)) for row in entries],
            other_leads=sorted(person.leads - {lead_id}),
            kafka=kafka_keeps(datetime.now(UTC)),
        )

    async def erase(self, lead_id: UUID, actor: str) -> Erased:
        """Take the person out of everything that we hold of a lead. Again is no harm."""
        return await personal_data_erasure.erase_lead(self._pool, lead_id, actor)

    async def find_person(self, email: str) -> PersonRecords:
        """Return what `erase_person` would erase. Nothing is changed."""
        return await personal_data_erasure.find_person(self._pool, email)

    async def erase_person(
        self, email: str | None, actor: str, only: Selection | None = None
    ) -> ErasedPerson:
        """Erase every lead and record of an address, or only those that are selected among them."""
        return await personal_data_erasure.erase_person(self._pool, email, actor, only)


async def _edit_parked(
    connection: Connection, lead_id: UUID, edit: lead_edits.LeadEdit, actor: str
) -> lead_edits.Edited:
    """Change the record that waits to be stored."""
    rows = [row async for row in SQL.lock_parked(connection, id=lead_id)]
    if not rows:
        raise Unknown("There is no lead with this id.")
    row = next((each for each in rows if each["state"] != "replaying"), None)
    if row is None:
        raise Refused("The lead is being stored at this moment. Look again in a minute.")
    lead_edits.expect(row["updated_at"], edit)
    lead = lead_edits.parked_lead(row["payload"])
    changed = lead_edits.changes(dict.fromkeys(lead_edits.OURS) | lead, edit)
    queue_ids = list[UUID]()
    if changed:
        payload = lead_edits.rewritten(lead, changed)
        await SQL.edit_parked(connection, id=row["id"], payload=payload)
        queue_ids = [row["id"], *await _edit_mails(connection, lead_id, payload)]
        await _tell_edit(connection, actor, lead_id, lead.get("request_id"), list(changed))
        row = next(
            each
            for each in [r async for r in SQL.lock_parked(connection, id=lead_id)]
            if each["id"] == row["id"]
        )
    return lead_edits.Edited(
        lead=None,
        changed=list(changed),
        queue_ids=queue_ids,
        updated_at=row["updated_at"],
        message=_said(changed, len(queue_ids)),
    )


async def _edit_mails(connection: Connection, lead_id: UUID, payload: bytes) -> list[UUID]:
    return [row["id"] async for row in SQL.edit_mails(connection, id=lead_id, payload=payload)]


async def _tell_edit(
    connection: Connection, actor: str, lead_id: UUID, request_id: str | None, changed: list[str]
) -> None:
    await _tell(connection, AuditEvent.LEAD_EDITED, actor, {"fields": changed}, lead_id, request_id)


async def _tell(
    connection: Connection,
    event: AuditEvent,
    actor: str,
    details: dict[str, Any],
    lead_id: UUID | None = None,
    request_id: str | None = None,
) -> None:
    await SQL.add_audit_entry(
        connection, event=event, actor=actor, details=details, lead_id=lead_id, request_id=request_id
    )


def _said(changed: dict[str, str | None], rows: int) -> str:
    if not changed:
        return "Nothing is different: nothing was changed."
    waiting = f" {rows} waiting steps go by the new fields." if rows else ""
    return f"Changed: {', '.join(changed)}.{waiting}"
