"""Mail events as the gateway and the flusher publish them, and the emails that they are about."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

from contracts import topics
from contracts.leads import LeadReceived
from contracts.mail_events import MailEvent
from runtime.settings import Kafka
from services.notifier.mail.message import message_id
from tests.support.factories import lead, producer


def mail_event(of: LeadReceived, **changes: Any) -> MailEvent:
    """A hard bounce of the lead's confirmation."""
    fields: dict[str, Any] = {
        "event_id": uuid4(),
        "occurred_at": datetime.now(UTC),
        "source": "ses",
        "type": "bounced",
        "lead_id": of.lead_id,
        "kind": "welcome",
        "hard": True,
        "code": 550,
        "enhanced": "5.1.1",
        "recipient": of.email,
        "answer": f"smtp; 550 5.1.1 <{of.email}>: unknown\x00 user",
    }
    return MailEvent.model_validate(fields | changes)


async def publish_events(kafka: Kafka, *events: MailEvent | bytes) -> None:
    """Publish events, each keyed by its lead."""
    async with producer(kafka) as sender:
        for each in events:
            value = each if isinstance(each, bytes) else each.model_dump_json().encode()
            key = b"" if isinstance(each, bytes) else str(each.lead_id).encode()
            await sender.send_and_wait(kafka.topic_prefix + topics.MAIL_EVENTS.name, key=key, value=value)


def digest_event(digest_id: UUID, **changes: Any) -> MailEvent:
    """A bounce of a digest, whose mailbox is full."""
    fields: dict[str, Any] = {
        "lead_id": None,
        "digest_id": digest_id,
        "kind": "alert_digest",
        "enhanced": "5.2.2",
        "hard": False,
    }
    return mail_event(lead(), **fields | changes)


async def add_mail(
    db: Any,
    of: LeadReceived,
    state: str = "sent",
    kind: str = "welcome",
    lease: str | None = None,
    digest_id: UUID | None = None,
) -> None:
    """Insert an email of the lead as the notifier stores it. An alert may be listed in a digest."""
    mail_id, name = (digest_id, "alert_digest") if digest_id else (of.lead_id, kind)
    recipient = of.email if kind == "welcome" else "boss@fast.example"
    await db.execute(
        "INSERT INTO email_delivery (lead_id, kind, state, recipient, mailbox, site, message_id, lease_until)"
        " VALUES ($1, $2, $3, $4, $5, $6, $8, now() + $7::text::interval)",
        of.lead_id,
        kind,
        state,
        recipient,
        of.email if kind == "welcome" else None,
        of.site,
        lease,
        message_id(mail_id, name, "hello@fast.example"),
    )


async def store_lead(db: Any, of: LeadReceived, status: str = "received") -> None:
    """Insert the lead as the persister stores it."""
    await db.execute(
        "INSERT INTO lead_inbox (id, request_id, site, email, service, status, name, message, body_sha256,"
        " created_at_utc) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        of.lead_id,
        of.request_id,
        of.site,
        of.email,
        of.service,
        status,
        of.name,
        of.message,
        of.body_sha256,
        of.occurred_at,
    )
