"""Records that are no lead, that come twice, or that were replayed, with a real broker and database."""

from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from contracts import headers, topics
from runtime.settings import Kafka, Postgres
from tests.support.factories import lead, post, producer
from tests.support.services.webhooks import destination, webhooks, write_sites
from tests.support.wait import eventually
from tests.support.web.webhook_receiver import webhook_receiver

COUNTED = (
    "SELECT sum(next_offset - base_offset) AS records, sum(stored) AS stored, sum(undecodable) AS undecodable"
    " FROM partition_ledger WHERE stage = 'webhooks'"
)


async def _counted(db: Any, records: int) -> tuple[int, int]:
    """Wait until so many records are counted. Return how many are stored, and how many are no lead."""
    row = await eventually(
        lambda: db.fetchrow(COUNTED),
        until=lambda found: found["records"] == records, what="the records",
    )  # fmt: skip
    return int(row["stored"]), int(row["undecodable"])


async def test_a_record_that_is_no_lead_is_counted_and_delays_nothing(
    kafka: Kafka, postgres: Postgres, db: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = lead()
    async with webhook_receiver() as receiver:
        sites = write_sites(tmp_path, destination("crm", receiver.url))
        async with webhooks(kafka, postgres, sites, monkeypatch):
            async with producer(kafka) as sender:
                for value in (b"", None, b"{", b'{"lead_id": 1}', b"\xff"):
                    await sender.send(kafka.topic_prefix + topics.RECEIVED.name, key=b"same", value=value)
            await post(kafka, sent)
            assert await _counted(db, 6) == (1, 5)
            await eventually(lambda: db.fetchval("SELECT count(delivered_at) FROM webhook_delivery"))
    assert [event["data"]["id"] for event in receiver.events] == [str(sent.lead_id)]


async def test_a_replayed_record_is_delivered_and_resolves_its_queue_row(
    kafka: Kafka, postgres: Postgres, db: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent, queue_id, other = lead(), uuid4(), uuid4()
    for row in (queue_id, other):
        await db.execute(
            "INSERT INTO replay_queue (id, stage, kind, lead_id, state, reason, error, origin_topic,"
            " origin_partition, origin_offset, origin_timestamp, origin_group, payload, first_failed_at,"
            " last_failed_at, next_attempt_at)"
            " VALUES ($1, 'webhooks', 'event', $2, 'replaying', 'r', 'e', 'leads.received.v1',"
            " 0, $3, now(), 'fastcore.webhooks', '{}', now(), now(), now())",
            row,
            sent.lead_id if row == queue_id else uuid4(),
            int(row == other),
        )
    marks = [(headers.STAGE, b"webhooks"), (headers.QUEUE_ID, str(queue_id).encode())]
    async with webhook_receiver() as receiver:
        sites = write_sites(tmp_path, destination("crm", receiver.url))
        async with webhooks(kafka, postgres, sites, monkeypatch):
            async with producer(kafka) as sender:
                for _ in range(2):
                    await sender.send(
                        kafka.topic_prefix + topics.RETRY_WEBHOOKS.name,
                        key=str(sent.lead_id).encode(),
                        value=sent.model_dump_json().encode(),
                        headers=marks,
                    )
            assert await _counted(db, 2) == (2, 0)
            await eventually(lambda: db.fetchval("SELECT count(delivered_at) FROM webhook_delivery"))
    states = dict(await db.fetch("SELECT id, state FROM replay_queue"))
    assert states == {queue_id: "resolved", other: "replaying"}
    assert set(receiver.attempts.values()) == {1}
