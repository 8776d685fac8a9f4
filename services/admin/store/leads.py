"""The admin service's one adapter to PostgreSQL: reads what it shows, writes what admins decide.

Raises `DependencyUnavailable`, and from `services.admin.rules` `Unknown` and `Refused`.
"""

from datetime import datetime
from pathlib import Path
from typing import Any, Final
from uuid import UUID, uuid4

from pydantic import TypeAdapter

from contracts.audit import AuditEvent
from contracts.failures import Kind
from contracts.leads import LeadStatus
from runtime.database.postgres import (
    Connection,
    Pool,
    autocommit,
    connection_within_deadline,
    load_queries,
    ping,
    snapshot,
    transaction,
)
from services.admin.rules import timeline
from services.admin.rules.lead_rules import Unknown, as_received, judge_change, judge_resend, mails_owed
from services.admin.schemas import leads as lead_schemas
from services.admin.schemas import system as system_schemas
from services.admin.schemas.filters import AuditFilter, LeadFilter, QueueFilter
from services.admin.store.cursors import Place, cut
from services.admin.store.search import find_leads

SQL: Any = load_queries(Path(__file__).with_name("leads.sql"))
# The flusher's job that fetches what websites have queued.
SITE_QUEUE_JOB: Final = "site_queue"


class _QueueRow(lead_schemas.QueueItem):
    origin_timestamp: datetime


_QUEUE: Final = TypeAdapter(list[_QueueRow])
_EMAILS: Final = TypeAdapter(list[lead_schemas.Email])
_ENTRIES: Final = TypeAdapter(list[lead_schemas.AuditEntry])


async def fetch_quickly(pool: Pool, query: str, *values: object) -> Any:
    """Return a query's value, or raise `DependencyUnavailable` where it is not here within a moment."""
    async with connection_within_deadline(pool) as connection:
        return await connection.fetchval(query, *values)


class Store:
    """Everything that the admin routes ask of the database."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def ping(self) -> None:
        """Return if the database answers within a moment."""
        await ping(self._pool)

    async def list_leads(self, asked: LeadFilter) -> lead_schemas.LeadPage:
        """Return a page of leads and how many match."""
        async with snapshot(self._pool) as connection:
            await SQL.plan_for_these_values(connection)
            leads, total, estimated = await find_leads(connection, asked)
        page, following = cut(leads, asked.limit, lambda lead: Place(lead.created_at_utc, lead.id))
        return lead_schemas.LeadPage(
            leads=page,
            total=total,
            total_is_estimate=estimated,
            limit=asked.limit,
            offset=asked.offset,
            next_cursor=following,
        )

    async def get_lead(self, lead_id: UUID) -> lead_schemas.LeadDetail:
        """Return a lead, its mails, its queue rows and its timeline, as of one moment."""
        async with autocommit(self._pool) as connection:
            row = await SQL.get_lead(connection, id=lead_id)
        lead, queue = row if row["id"] else None, _QUEUE.validate_json(row["queue"])
        # Not stored: the persister's row, or that of a website's queue, is where it is now.
        if lead is None and not any(item.stage in ("persister", "site") for item in queue):
            raise Unknown("There is no lead with this id.")
        emails, entries = _EMAILS.validate_json(row["emails"]), _ENTRIES.validate_json(row["entries"])
        return lead_schemas.LeadDetail(
            lead=lead_schemas.Lead.model_validate(dict(lead)) if lead else None,
            emails=emails,
            queue=[*queue],
            timeline=timeline.build(lead, map(dict, entries), map(dict, emails), map(dict, queue)),
            audit=entries,
        )

    async def change_status(
        self, lead_id: UUID, new: LeadStatus, expected: LeadStatus | None, actor: str
    ) -> lead_schemas.StatusChanged:
        """Set a lead's status, with its audit entry and the mails that it makes due."""
        async with transaction(self._pool) as connection:
            row = await _lock_lead(connection, lead_id)
            current, seen = LeadStatus(row["status"]), row["updated_at"]
            changed = judge_change(current, new, expected)
            requested: list[str] = []
            if changed:
                if owed := mails_owed(current, new):
                    rows = await _request_mails(connection, row, owed, actor, "released from spam")
                    requested = sorted(mail["kind"] for mail in rows)
                row = await SQL.set_status(connection, id=lead_id, status=new)
                details = {"from": current, "to": new, "mails_requested": requested}
                await _tell(connection, AuditEvent.LEAD_STATUS_CHANGED, actor, details, lead=row)
        said = f"The status was {current} and is {new}." if changed else f"The status was {new} already."
        if requested:
            said += " Its mails are sent now."
        return lead_schemas.StatusChanged(
            lead=lead_schemas.Lead.model_validate(dict(row)),
            previous_status=current,
            previous_updated_at=seen,
            changed=changed,
            mails_requested=requested,
            message=said,
        )

    async def resend(self, lead_id: UUID, kind: Kind, actor: str) -> lead_schemas.Resent:
        """Have the notifier try one mail again, now."""
        async with transaction(self._pool) as connection:
            row = await _lock_lead(connection, lead_id)
            delivery = await SQL.delivery_state(connection, id=lead_id, kind=kind)
            judge_resend(LeadStatus(row["status"]), kind, delivery)
            # Its audit entry is `lead.replayed`, in this actor's name, by the flusher that sends it.
            (queued,) = await _request_mails(connection, row, (kind,), actor, "requested by an admin")
        return lead_schemas.Resent(
            lead_id=lead_id,
            kind=kind,
            queue_id=queued["id"],
            message="The mail is tried again within seconds; see the lead's emails for the outcome.",
        )

    async def list_queue(self, asked: QueueFilter) -> lead_schemas.QueuePage:
        """Return a page of the replay queue."""
        async with snapshot(self._pool) as connection:
            await SQL.plan_for_these_values(connection)
            rows = SQL.list_queue(connection, **asked.selection(), limit=asked.limit + 1)
            items = [lead_schemas.QueueItem.model_validate(dict(row)) async for row in rows]
        page, following = cut(items, asked.limit, lambda item: Place(item.last_failed_at, item.id))
        return lead_schemas.QueuePage(items=page, limit=asked.limit, next_cursor=following)

    async def list_audit(self, asked: AuditFilter) -> lead_schemas.AuditPage:
        """Return a page of the audit log."""
        async with snapshot(self._pool) as connection:
            await SQL.plan_for_these_values(connection)
            given = asked.selection() | {"limit": asked.limit + 1}
            if asked.actor and not asked.lead_id and not asked.request_id:
                events = [asked.event] if asked.event else list(AuditEvent)
                rows = SQL.list_audit_of_actor(connection, **given, events=events)
            else:
                rows = SQL.list_audit(connection, **given)
            entries = [lead_schemas.AuditEntry.model_validate(dict(row)) async for row in rows]
        page, following = cut(entries, asked.limit, lambda entry: Place(entry.created_at_utc, entry.id))
        return lead_schemas.AuditPage(entries=page, limit=asked.limit, next_cursor=following)

    async def flush(self, actor: str) -> lead_schemas.Flushed:
        """Make everything that waits due now, have the websites' queues fetched, and say so."""
        async with transaction(self._pool) as connection:
            count: int = await SQL.request_waiting(connection, actor=actor)
            details = await SQL.request_job(connection, name=SITE_QUEUE_JOB) or {}
            await _tell(connection, AuditEvent.QUEUE_FLUSHED, actor, {"count": count})
        return lead_schemas.flushed(count, sorted(details.get("sites") or {}))

    async def clear(self, stage: str | None, actor: str) -> dict[str, int]:
        """Archive what waits, and return how many rows by stage."""
        async with transaction(self._pool) as connection:
            rows = SQL.archive_waiting(connection, stage=stage, actor=actor)
            archived = {row["stage"]: row["rows"] async for row in rows}
            details = {"count": sum(archived.values()), "stages": archived, "asked_for": stage or "all"}
            await _tell(connection, AuditEvent.QUEUE_CLEARED, actor, details)
        return archived

    async def list_jobs(self) -> list[system_schemas.Job]:
        """Return the scheduled jobs."""
        async with snapshot(self._pool) as connection:
            return [system_schemas.Job.model_validate(dict(row)) async for row in SQL.list_jobs(connection)]

    async def list_site_queues(self) -> list[system_schemas.SiteQueue]:
        """Return what the flusher's last run saw of each website's own queue."""
        job = next((each for each in await self.list_jobs() if each.name == SITE_QUEUE_JOB), None)
        found = (job.last_details.get("sites") or {}) if job else {}
        return [
            system_schemas.SiteQueue(site=name, asked_at=job and job.last_finished_at, **seen)
            for name, seen in sorted(found.items())
        ]

    async def resume(self, stage: str, actor: str) -> bool:
        """Close a stage's breaker; return False where it was not open."""
        async with transaction(self._pool) as connection:
            known = await SQL.lock_stage(connection, stage=stage)
            if known is None or not known["paused"]:
                return False
            await SQL.resume_stage(connection, stage=stage, actor=actor)
            await _tell(connection, AuditEvent.STAGE_RESUMED, actor, {"stage": stage})
        return True


async def _lock_lead(connection: Connection, lead_id: UUID) -> Any:
    row = await SQL.lock_lead(connection, id=lead_id)
    if row is None:
        raise Unknown("There is no lead with this id.")
    return row


async def _request_mails(
    connection: Connection, lead: Any, kinds: tuple[Kind, ...], actor: str, reason: str
) -> list[Any]:
    received = as_received(lead, uuid4())
    rows = SQL.request_mails(
        connection,
        lead_id=lead["id"],
        kinds=list(kinds),
        actor=actor,
        reason=reason,
        payload=received.model_dump_json().encode(),
        headers={"content-type": "application/json"},
    )
    return [row async for row in rows]


async def _tell(
    connection: Connection, event: AuditEvent, actor: str, details: dict[str, Any], lead: Any = None
) -> None:
    await SQL.add_audit_entry(
        connection,
        event=event,
        actor=actor,
        details=details,
        lead_id=lead["id"] if lead else None,
        request_id=lead["request_id"] if lead else None,
    )
