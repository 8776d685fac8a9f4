"""Reads the state of the database, the topics and the mailbox without any code of the services."""

import contextlib
import json
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from tests.faults.arrivals import Arrivals
from tests.faults.environment import Environment

# The documented names.
PARTITIONS = 6
READ_BY = {
    "persister": ("leads.received.v1", "leads.retry.persister.v1", "audit.recorded.v1"),
    "notifier": ("leads.received.v1", "leads.retry.notifier.v1"),
    "webhooks": ("leads.received.v1", "leads.retry.webhooks.v1", "leads.changed.v1"),
    "flusher": ("leads.failed.v1", "mail.events.v1"),
}
DEAD = "leads.dead.v1"
CHANGED = "leads.changed.v1"


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
    arrivals: Arrivals | None = None  # at the destination
    changes: dict[str, list[str]] = field(default_factory=dict)  # each lead's new statuses, by the audit log
    destination_rows: list[dict[str, Any]] = field(default_factory=list)  # of webhook_delivery
    wanted: int = 0  # the sum of delivery_count
    unpublished: int = 0  # rows of the outbox
    counted: Counter[str] = field(default_factory=Counter)  # what the triggers have counted
    # By lead, each event of leads.changed.v1 once: its id and the new status, in the topic's order.
    published: dict[str, list[tuple[str, str]]] = field(default_factory=dict)


async def observe(environment: Environment) -> ObservedState:
    """Read everything, without the proxies."""
    environment.collect_mails()
    observed = ObservedState(mails=environment.mails)
    for row in await environment.sql(
        "SELECT id::text, email, message, status, stored, created_at_utc FROM lead_inbox"
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
    await _observe_deliveries(environment, observed)
    bootstrap = environment.kafka.bootstrap_servers
    observed.lags, observed.ends = await read_lags(bootstrap)
    observed.archive = [
        ArchivedRecord(record.key, record.value, dict(record.headers).get("fastcore-event-id"))
        for record in await _read_topic(bootstrap, DEAD)
    ]
    for record in await _read_topic(bootstrap, CHANGED):
        event = json.loads(record.value)
        found = observed.published.setdefault(event["lead_id"], [])
        if event["event_id"] not in {event_id for event_id, _ in found}:
            found.append((event["event_id"], event["to_status"]))
    return observed


async def _observe_deliveries(environment: Environment, observed: ObservedState) -> None:
    observed.arrivals = environment.receiver.arrivals
    for row in await environment.sql(
        "SELECT lead_id::text, details_json->>'to' AS status FROM audit_log"
        " WHERE event = 'lead.status_changed' ORDER BY id"
    ):
        observed.changes.setdefault(row["lead_id"], []).append(row["status"])
    observed.destination_rows = [
        dict(row)
        for row in await environment.sql(
            "SELECT d.event_id::text, d.lead_id::text, e.type, d.state, d.reason, d.attempts"
            " FROM webhook_delivery d JOIN webhook_event e ON e.id = d.event_id"
        )
    ]
    (totals,) = await environment.sql(
        "SELECT (SELECT coalesce(sum(delivery_count), 0) FROM webhook_event) AS wanted,"
        " (SELECT count(*) FROM lead_event_outbox) AS unpublished"
    )
    observed.wanted, observed.unpublished = totals["wanted"], totals["unpublished"]
    for row in await environment.sql(
        "SELECT table_name, state, sum(rows)::bigint AS rows FROM row_count GROUP BY table_name, state"
    ):
        if row["table_name"] == "lead_event_outbox":
            observed.counted[f"outbox {row['state']}"] += abs(row["rows"])
        else:
            observed.counted[row["table_name"]] += row["rows"]


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


async def _read_topic(bootstrap: str, topic: str) -> list[Any]:
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, enable_auto_commit=False)
    await consumer.start()
    try:
        places = [TopicPartition(topic, number) for number in range(PARTITIONS)]
        consumer.assign(places)
        await consumer.seek_to_beginning()
        ends, found = await consumer.end_offsets(places), list[Any]()
        for place in places:
            while await consumer.position(place) < ends[place]:
                got = await consumer.getmany(place, timeout_ms=1000)
                found += [record for part in got.values() for record in part]
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
SELECT updated_at, concat_ws(' ', 'webhook_delivery', event_id, state, 'attempts', attempts, reason)
FROM webhook_delivery WHERE lead_id = $1::text::uuid
UNION ALL
SELECT stored_at, concat_ws(' ', 'lead_inbox', status) FROM lead_inbox WHERE id = $1::text::uuid
ORDER BY 1
"""


async def timeline(environment: Environment, lead_id: str) -> list[str]:
    """Return the history of one lead: ids, states and reasons, no personal data."""
    rows = await environment.sql(_TIMELINE, lead_id)
    return [f"{row['at']:%H:%M:%S.%f} {row['event']}" for row in rows] or ["nothing in the database"]
