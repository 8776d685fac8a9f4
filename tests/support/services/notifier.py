"""The notifier's records and deliveries, and the whole service in this process, for its tests."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import uuid4

import httpx
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from contracts import headers, topics
from contracts.failures import Kind, LeadFailed
from contracts.leads import LeadReceived
from runtime.settings import Kafka, Postgres
from runtime.sites import watched_files
from services.notifier.app import create_app
from services.notifier.deliveries import Delivery
from services.notifier.mail.identities import Identities
from services.notifier.mail.message import Identity
from services.notifier.settings import Settings, Smtp
from tests.support.factories import lead, producer, records_of
from tests.support.mail.smtp import SmtpServer
from tests.support.wait import eventually

IDENTITY: Final = Identity("hello@fast.example", "FAST", ("boss@fast.example",))
IDENTITIES: Final = Identities(IDENTITY)
RECEIVED, RETRY = "p.leads.received.v1", "p.leads.retry.notifier.v1"


@dataclass
class FakeRecord:
    topic: str = RECEIVED
    partition: int = 0
    offset: int = 7
    timestamp: int = 1000
    value: bytes = b""
    headers: list[tuple[str, bytes]] = field(default_factory=list)
    key: bytes | None = None


def delivery(kind: Kind = "welcome", *, retry: bool = False, of: LeadReceived | None = None) -> Delivery:
    """A delivery that a lead's first record, or a retry, requests."""
    topic, record_headers = (RETRY, [(headers.KIND, kind.encode())]) if retry else (RECEIVED, [])
    return Delivery(FakeRecord(topic, headers=record_headers), of or lead(), kind, retry)


def smtp_settings(smtp: SmtpServer, **changes: Any) -> Smtp:
    return Smtp.model_validate({"host": smtp.host, "port": smtp.port, "tls": False} | changes)


def notifier_settings(kafka: Kafka, postgres: Postgres, server: Smtp, **changes: Any) -> Settings:
    """The service's settings, with timeouts that a busy machine keeps."""
    return Settings.model_validate(
        {
            "kafka": kafka,
            "postgres": postgres,
            "smtp": server,
            "from_email": "hello@fast.example",
            "admin_email": "boss@fast.example",
            "alert_burst": 0,  # an alert for each lead
            "envelope_timeout_seconds": 10.0,
            "answer_timeout_seconds": 5.0,
            "mail_timeout_seconds": 10.0,
            "lease_seconds": 15.0,
        }
        | changes
    )


@asynccontextmanager
async def notifier(settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    """The whole service in this process: its lifespan, and its routes without a socket."""
    app = create_app(settings)
    transport = httpx.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://notifier") as client,
    ):
        yield client


def watch_files_quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the notifier notice a changed sites file or template within a fraction of a second."""
    monkeypatch.setattr(watched_files, "CHECK_SECONDS", 0.1)
    monkeypatch.setattr(watched_files, "STABLE_SECONDS", 0.05)


async def readyz(client: httpx.AsyncClient) -> Any:
    return (await client.get("/readyz")).json()


async def delivery_states(db: Any, of: LeadReceived) -> dict[str, str]:
    rows = await db.fetch("SELECT kind, state FROM email_delivery WHERE lead_id = $1", of.lead_id)
    return {row["kind"]: row["state"] for row in rows}


async def wait_for_states(
    db: Any, of: LeadReceived, welcome: str = "sent", alert: str = "sent", seconds: float = 20
) -> None:
    """Wait until the lead's mails have these states."""
    expected = {"welcome": welcome, "admin_alert": alert}
    await eventually(
        lambda: delivery_states(db, of), until=lambda s: s == expected, seconds=seconds, what=f"{expected}"
    )


async def counted_records(db: Any) -> int:
    return int(await db.fetchval("SELECT coalesce(sum(next_offset - base_offset), 0) FROM partition_ledger"))


async def balanced_ledger(db: Any) -> dict[str, int]:
    """Check that the notifier's ledger balances; return its sums."""
    row = await db.fetchrow(
        "SELECT sum(stored) stored, sum(duplicate) duplicate, sum(parked) parked,"
        " sum(undecodable) undecodable FROM partition_ledger WHERE stage = 'notifier'"
    )
    sums = {name: int(value) for name, value in row.items()}
    assert await db.fetchval("SELECT count(*) FROM email_delivery") == 2 * sums["stored"]
    return sums


async def published_failures(kafka: Kafka, count: int) -> dict[str, LeadFailed]:
    """Wait for this number of failures; return them by kind."""
    records = await eventually(
        lambda: records_of(kafka, topics.FAILED.name), until=lambda found: len(found) >= count
    )
    assert len(records) == count
    return {each.kind: each for each in (LeadFailed.from_headers(record.headers) for record in records)}


async def audit_events(db: Any, of: LeadReceived) -> list[tuple[str, str, int | None]]:
    rows = await db.fetch(
        "SELECT event, details_json, status_code FROM audit_log WHERE lead_id = $1 ORDER BY id", of.lead_id
    )
    return [(row["event"], row["details_json"]["kind"], row["status_code"]) for row in rows]


async def add_queue_row(db: Any, of: LeadReceived, kind: str, state: str = "replaying") -> Any:
    """Insert a row of the replay queue as the flusher leaves it after it sent a retry; return its id."""
    return await db.fetchval(
        "INSERT INTO replay_queue (id, stage, kind, lead_id, state, reason, error, next_attempt_at,"
        " origin_topic, origin_partition, origin_offset, origin_timestamp, origin_group, payload,"
        " first_failed_at, last_failed_at)"
        " VALUES ($1, 'notifier', $2, $3, $4, 'r', 'e', now(), 't', 0, 0, now(), 'g', '\\x00', now(), now())"
        " RETURNING id",
        uuid4(),
        kind,
        of.lead_id,
        state,
    )


async def publish_retry(
    kafka: Kafka, of: LeadReceived, kind: str, queue_id: Any = None, attempts: int = 1
) -> None:
    """Publish what the flusher publishes: the original bytes, and the kind that is to be sent again."""
    async with producer(kafka) as sender:
        await sender.send_and_wait(
            kafka.topic_prefix + topics.RETRY_NOTIFIER.name,
            key=str(of.lead_id).encode(),
            value=of.model_dump_json().encode(),
            headers=[
                (headers.STAGE, b"notifier"),
                (headers.KIND, kind.encode()),
                (headers.RETRY_ATTEMPTS, str(attempts).encode()),
                *([(headers.QUEUE_ID, str(queue_id).encode())] if queue_id else []),
            ],
        )


async def reset_offsets(kafka: Kafka) -> None:
    """Commit offset 0 everywhere: every record is redelivered, as after a lost commit."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=kafka.bootstrap_servers,
        group_id=kafka.topic_prefix + topics.GROUPS["notifier"],
        enable_auto_commit=False,
    )
    await consumer.start()
    partitions = [
        TopicPartition(kafka.topic_prefix + topic, number)
        for topic in topics.consumed_by("notifier")
        for number in range(topics.PARTITIONS)
    ]
    consumer.assign(partitions)
    await consumer.commit(dict.fromkeys(partitions, 0))
    await consumer.stop()


async def store_lead(db: Any, of: LeadReceived, status: str = "received") -> None:
    """Insert the lead as the persister stores it."""
    await db.execute(
        "INSERT INTO lead_inbox (id, request_id, site, email, service, status, name, message, body_sha256,"
        " created_at_utc) VALUES ($1, 'r', 's', $2, 'x', $3, 'n', 'm', '', now())",
        of.lead_id,
        of.email,
        status,
    )


async def add_delivery(
    db: Any, of: LeadReceived, kind: str, state: str, lease: str, owner: Any = None
) -> None:
    """Insert a delivery of another process, which died or still runs."""
    await db.execute(
        "INSERT INTO email_delivery (lead_id, kind, state, owner, lease_until, recipient, message_id)"
        " VALUES ($1, $2, $3, $4, now() + $5::text::interval, $6, '<m>')",
        of.lead_id,
        kind,
        state,
        owner or uuid4(),
        lease,
        of.email,
    )
