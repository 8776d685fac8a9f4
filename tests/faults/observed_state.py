"""Reads the state of the database, the topics and the mailbox without any code of the services."""

import contextlib
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from tests.faults.environment import Environment

# The documented names.
PARTITIONS = 6
READ_BY = {
    "persister": ("leads.received.v1", "leads.retry.persister.v1", "audit.recorded.v1"),
    "notifier": ("leads.received.v1", "leads.retry.notifier.v1"),
    "flusher": ("leads.failed.v1",),
}
DEAD = "leads.dead.v1"


@dataclass(frozen=True)
class ArchivedRecord:
    """A record of the dead-letter topic."""

    key: bytes | None
    value: bytes | None
    event_id: bytes | None


@dataclass
class ObservedState:
    """The state of everything, read when the installation is idle."""

    inbox: dict[str, dict[str, Any]] = field(default_factory=dict)
    received: Counter[str] = field(default_factory=Counter)  # `lead.received` entries by lead
    unknown: Counter[tuple[str, str]] = field(default_factory=Counter)  # `email.unknown` entries
    deliveries: dict[tuple[str, str], str] = field(default_factory=dict)  # -> state
    queue: list[dict[str, Any]] = field(default_factory=list)
    ledger: list[dict[str, Any]] = field(default_factory=list)
    ends: dict[tuple[str, int], int] = field(default_factory=dict)
    lags: dict[str, int] = field(default_factory=dict)
    archive: list[ArchivedRecord] = field(default_factory=list)
    mails: Counter[tuple[str, str]] = field(default_factory=Counter)


async def observe(environment: Environment) -> ObservedState:
    """Read everything, without the proxies."""
    environment.collect_mails()
    observed = ObservedState(mails=environment.mails)
    for row in await environment.sql(
        "SELECT id::text, email, message, status, created_at_utc FROM lead_inbox"
    ):
        observed.inbox[row["id"]] = dict(row)
    for row in await environment.sql(
        "SELECT event, lead_id::text, details_json->>'kind' AS kind, count(*) AS entries FROM audit_log"
        " WHERE event IN ('lead.received', 'email.unknown') GROUP BY 1, 2, 3"
    ):
        if row["event"] == "lead.received":
            observed.received[row["lead_id"]] += row["entries"]
        else:
            observed.unknown[row["lead_id"], row["kind"]] += row["entries"]
    for row in await environment.sql("SELECT lead_id::text, kind, state FROM email_delivery"):
        observed.deliveries[row["lead_id"], row["kind"]] = row["state"]
    observed.queue = [
        dict(row)
        for row in await environment.sql(
            "SELECT id::text, stage, kind, lead_id::text, state, reason, attempts, by_origin, made_by,"
            " payload, record_key FROM replay_queue"
        )
    ]
    observed.ledger = [dict(row) for row in await environment.sql("SELECT * FROM partition_ledger")]
    bootstrap = environment.kafka.bootstrap_servers
    observed.lags, observed.ends = await read_lags(bootstrap)
    observed.archive = await _read_archive(bootstrap)
    return observed


async def read_lags(bootstrap: str) -> tuple[dict[str, int], dict[tuple[str, int], int]]:
    """Return the lag of each group, and the end offsets of all partitions."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap, request_timeout_ms=10_000)
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, enable_auto_commit=False)
    try:
        await admin.start()
        await consumer.start()
        topics = {topic for names in READ_BY.values() for topic in names}
        ends = await consumer.end_offsets([TopicPartition(t, n) for t in topics for n in range(PARTITIONS)])
        lags = {}
        for stage, names in READ_BY.items():
            committed = await admin.list_consumer_group_offsets(f"fastcore.{stage}")
            lags[stage] = sum(
                end - max(0, committed[place].offset if place in committed else 0)
                for place, end in ends.items()
                if place.topic in names
            )
        return lags, {(place.topic, place.partition): end for place, end in ends.items()}
    finally:
        with contextlib.suppress(Exception):
            await consumer.stop()
        with contextlib.suppress(Exception):
            await admin.close()


async def _read_archive(bootstrap: str) -> list[ArchivedRecord]:
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, enable_auto_commit=False)
    await consumer.start()
    try:
        places = [TopicPartition(DEAD, number) for number in range(PARTITIONS)]
        consumer.assign(places)
        await consumer.seek_to_beginning()
        ends, found = await consumer.end_offsets(places), list[ArchivedRecord]()
        for place in places:
            while await consumer.position(place) < ends[place]:
                got = await consumer.getmany(place, timeout_ms=1000)
                for record in (each for part in got.values() for each in part):
                    event_id = dict(record.headers).get("fastcore-event-id")
                    found.append(ArchivedRecord(record.key, record.value, event_id))
        return found
    finally:
        await consumer.stop()


_TIMELINE = """
SELECT created_at_utc AS at, concat_ws(' ', 'audit', event, 'by', actor, details_json) AS event
FROM audit_log WHERE lead_id = $1::text::uuid
UNION ALL
SELECT updated_at, concat_ws(' ', 'email_delivery', kind, state, 'attempts', attempts, reason)
FROM email_delivery WHERE lead_id = $1::text::uuid
UNION ALL
SELECT updated_at, concat_ws(' ', 'replay_queue', stage, kind, state, 'attempts', attempts, reason)
FROM replay_queue WHERE lead_id = $1::text::uuid
UNION ALL
SELECT stored_at, concat_ws(' ', 'lead_inbox', status) FROM lead_inbox WHERE id = $1::text::uuid
ORDER BY 1
"""


async def timeline(environment: Environment, lead_id: str) -> list[str]:
    """Return the history of one lead: ids, states and reasons, no personal data."""
    rows = await environment.sql(_TIMELINE, lead_id)
    return [f"{row['at']:%H:%M:%S.%f} {row['event']}" for row in rows] or ["nothing in the database"]
