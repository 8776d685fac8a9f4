"""Applies mail events to the database: states of emails, audit entries, suppressed addresses, the ledger."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final
from uuid import UUID, uuid4, uuid5

from pydantic import ValidationError

from contracts import headers as h
from contracts.audit import AuditEvent, AuditRecorded
from contracts.leads import as_received
from contracts.mail_events import MailEvent
from runtime import metrics
from runtime.database.audit_log import append_entries
from runtime.database.erasure import block_erasures
from runtime.database.ledger import Ledger, Outcome
from runtime.database.postgres import Connection, Pool, load_queries, transaction
from runtime.database.replay_queue import resolve_replays
from runtime.database.suppressed_addresses import SuppressedAddresses
from runtime.failures import PartitionsBusy
from runtime.kafka.failure_publisher import FailurePublisher
from runtime.kafka.handler import Record
from runtime.logs import logger
from services.flusher.bounces.digest_events import DigestEvents
from services.flusher.bounces.mail_states import (
    MailKey,
    SentMail,
    decode_event,
    next_state,
    reason_of,
    suppression_of,
)

SQL: Any = load_queries(Path(__file__).with_name("mail_events.sql"))
ACTOR: Final = "flusher"
_AUDIT_EVENTS: Final = {
    "bounced": AuditEvent.EMAIL_BOUNCED,
    "complained": AuditEvent.EMAIL_COMPLAINED,
}


class MailEventStore:
    """Applies the records of `mail.events.v1`. Each event changes something only once.

    An email that bounced becomes a failed delivery: it is published to `leads.failed.v1` before the state is
    committed. After a crash in between, it is published again with the same event id.
    """

    def __init__(self, pool: Pool, ledger: Ledger, failures: FailurePublisher, digests: DigestEvents) -> None:
        self._digests = digests
        self._pool = pool
        self._ledger = ledger
        self._failures = failures
        self._suppressed = SuppressedAddresses()
        self._log = logger("bounces")

    async def apply(self, records: Sequence[Record]) -> None:
        """Apply these records in one transaction.

        Raises `PartitionsBusy` if an email is being sent: its outcome is committed first. The records before
        it are applied. Raises `RewindRequired` and `DependencyUnavailable`.
        """
        events = [(record, decode_event(record)) for record in records]
        listed = {
            event.event_id: await self._digests.publish(event)
            for _, event in events
            if event and event.kind == "alert_digest"
        }
        busy, wait_seconds, results = dict[tuple[str, int], int](), 0.0, list[tuple[str, str]]()
        async with transaction(self._pool) as connection:
            await block_erasures(connection)
            entries = await self._ledger.lock(connection, records)
            mails = await _lock_mails(connection, [event for _, event in events if event])
            for record, event in events:
                if (record.topic, record.partition) in busy:
                    continue
                mail = mails.get((event.lead_id, event.kind)) if event and event.lead_id else None
                if mail and mail.is_in_progress:
                    busy[record.topic, record.partition] = record.offset
                    wait_seconds = max(wait_seconds, mail.lease_seconds)
                    continue
                alerts = listed.get(event.event_id, 0) if event else 0
                outcome, result = await self._apply(connection, record, event, mail, alerts)
                entries.count(record, outcome)
                results.append((event.source if event else "", result))
            await self._ledger.save(connection, entries)
        for source, result in results:
            metrics.MAIL_EVENTS_APPLIED.labels(source=source, result=result).inc()
        counts = Counter(result for _, result in results)
        self._log.info("Mail events applied", records=len(records), waiting=len(busy), **counts)
        if busy:
            raise PartitionsBusy(busy, wait_seconds + 0.1)

    async def count_failed(self, record: Record) -> None:
        """Count a record that can never be applied. Kafka still has it for as long as the topic keeps it."""
        await self._ledger.count_failure(self._pool, record)
        metrics.MAIL_EVENTS_APPLIED.labels(source="", result="failed").inc()

    async def _apply(
        self,
        connection: Connection,
        record: Record,
        event: MailEvent | None,
        mail: SentMail | None,
        alerts: int,
    ) -> tuple[Outcome, str]:
        """Apply one event. `alerts` is the number of alerts that a digest listed."""
        if event is None:
            self._log.error("mail event not decoded", partition=record.partition, offset=record.offset)
            return "undecodable", "undecodable"
        if event.kind == "held_digest":
            return await self._audit_held_digest(connection, event)
        if alerts or mail is None or not mail.is_of(event):
            return ("stored", "listed") if alerts else ("duplicate", "unknown")
        if not await append_entries(connection, [_audit_entry(event)], database_time=True):
            return "duplicate", "repeated"
        await self._suppress(connection, event, mail)
        state = next_state(mail.state, event.type)
        if state is None:
            return "stored", "unchanged"
        await SQL.move_mail(
            connection,
            lead_id=mail.lead_id,
            kind=event.kind,
            state=state,
            reason=reason_of(event),
            answer=_storable(event.answer),
        )
        mail.state = state
        if state == "complained":  # the email arrived, so that no retry is needed
            await resolve_replays(connection, "notifier", [], [(mail.lead_id, mail.kind)])
        else:
            await self._publish_failure(connection, record, event, mail)
        return "stored", state

    async def _audit_held_digest(self, connection: Connection, event: MailEvent) -> tuple[Outcome, str]:
        """Audit the bounce of a list of held leads. No row of `email_delivery` stands for such a list."""
        site = await SQL.held_digest_site(connection, id=event.digest_id)
        if site is None:
            return "duplicate", "unknown"
        if not await append_entries(connection, [_audit_entry(event, site=site)], database_time=True):
            return "duplicate", "repeated"
        self._log.warning("list of held leads came back", digest_id=str(event.digest_id), site=site)
        return "stored", "held_digest"

    async def _suppress(self, connection: Connection, event: MailEvent, mail: SentMail) -> None:
        suppression = suppression_of(event, mail)
        if suppression is None:
            return
        mailbox, site, reason = suppression
        entry_id = await self._suppressed.add(
            connection, mailbox, site, reason, actor=event.source, lead_id=event.lead_id
        )
        details = {"suppression_id": str(entry_id), "site": site, "reason": reason}
        entry = _entry(event, AuditEvent.SUPPRESSION_ADDED, details)
        await append_entries(connection, [entry], database_time=True)

    async def _publish_failure(
        self, connection: Connection, record: Record, event: MailEvent, mail: SentMail
    ) -> None:
        """Publish the email as a failed delivery, unless its lead is erased or not stored yet."""
        row = await SQL.stored_lead(connection, id=mail.lead_id)
        if row is None:
            return
        try:
            lead = as_received(row, uuid4())
        except ValidationError:  # the state of the email is right even without a failed delivery
            self._log.error("lead of a bounced email is not valid", lead_id=str(mail.lead_id))
            return
        failed = replace(
            record,
            key=event.key,
            value=lead.model_dump_json().encode(),
            headers=((h.CONTENT_TYPE, b"application/json"),),
        )
        await self._failures.publish(
            failed, mail.kind, reason_of(event), "smtp.bounced", final=True, queue_id=None
        )


async def _lock_mails(connection: Connection, events: Sequence[MailEvent]) -> dict[MailKey, SentMail]:
    lead_ids = sorted({event.lead_id for event in events if event.lead_id})
    return {
        (row["lead_id"], row["kind"]): SentMail(
            row["state"],
            row["mailbox"],
            row["site"],
            row["lease_seconds"],
            lead_id=row["lead_id"],
            kind=row["kind"],
            message_id=row["message_id"],
            answer=row["smtp_answer"] or "",
        )
        async for row in SQL.lock_mails(connection, lead_ids=lead_ids)
    }


def _audit_entry(event: MailEvent, **more: str) -> AuditRecorded:
    details = {
        **({"digest_id": str(event.digest_id)} if event.digest_id else {}),
        **more,
        "kind": event.kind,
        "reason": reason_of(event),
        "code": event.code,
        "enhanced": event.enhanced,
        "source": event.source,
        "hard": event.hard,
    }
    return _entry(event, _AUDIT_EVENTS[event.type], details)


def _entry(event: MailEvent, name: AuditEvent, details: dict[str, Any]) -> AuditRecorded:
    return AuditRecorded(
        event_id=_entry_id(event.event_id, name),
        occurred_at=event.occurred_at,
        event=name,
        actor=ACTOR,
        status_code=event.code if name != AuditEvent.SUPPRESSION_ADDED else None,
        lead_id=event.lead_id,
        details=details,
    )


def _entry_id(event_id: UUID, name: AuditEvent) -> UUID:
    return uuid5(event_id, name)


def _storable(text: str | None) -> str | None:
    """Return a text that PostgreSQL can store: without NUL and lone surrogates."""
    return text.replace("\x00", "").encode(errors="replace").decode() if text else None
