"""The audit audit: behind the answers, bounded, and honest about what it dropped."""

import asyncio
from typing import Any, cast
from uuid import uuid4

import pytest

from contracts.audit import AuditEvent, AuditRecorded
from contracts.leads import EXAMPLE
from runtime import metrics
from runtime.failures import DependencyUnavailable
from runtime.kafka.publisher import Publisher
from runtime.tasks import run_in_background
from services.ingest.publisher import AUDIT_QUEUE_SIZE, AuditPublisher
from tests.support.gateway import gateway
from tests.support.wait import eventually


class FakeKafka:
    def __init__(self) -> None:
        self.sent: list[tuple[str, bytes]] = []
        self.away = False
        self.hangs = False

    async def send(self, topic: str, *, key: bytes, **_: Any) -> None:
        if self.hangs:
            await asyncio.sleep(60)
        if self.away:
            raise DependencyUnavailable("kafka", "kafka did not acknowledge in time")
        self.sent.append((topic, key))


def entry(number: int = 0) -> AuditRecorded:
    return AuditRecorded.model_validate(
        {
            "event_id": uuid4(),
            "occurred_at": EXAMPLE["submitted_at"],
            "event": AuditEvent.LEAD_REJECTED,
            "actor": "www",
            "status_code": 422,
            "request_id": f"r{number}",
        }
    )


def dropped() -> float:
    return float(metrics.AUDIT_DROPPED._value.get())


@pytest.fixture
def kafka() -> FakeKafka:
    return FakeKafka()


@pytest.fixture
def audit(kafka: FakeKafka) -> AuditPublisher:
    return AuditPublisher(cast("Publisher", kafka))


async def test_an_entry_is_published_under_its_request(audit: AuditPublisher, kafka: FakeKafka) -> None:
    async def sent() -> list[tuple[str, bytes]]:
        return kafka.sent

    async with run_in_background(audit.run(), "audit"):
        audit.enqueue(entry(7))
        assert await eventually(sent) == [("audit.recorded.v1", b"r7")]


async def test_a_flood_is_dropped_and_counted_and_never_waits(audit: AuditPublisher) -> None:
    before = dropped()
    for number in range(AUDIT_QUEUE_SIZE + 5):
        audit.enqueue(entry(number))
    assert dropped() - before == 5


async def test_a_drain_publishes_what_is_left_without_pauses(audit: AuditPublisher, kafka: FakeKafka) -> None:
    for number in range(50):
        audit.enqueue(entry(number))
    async with run_in_background(audit.run(), "audit"):
        await audit.drain(2)
    assert len(kafka.sent) == 50


async def test_entries_are_lost_and_counted_where_kafka_is_away(
    audit: AuditPublisher, kafka: FakeKafka
) -> None:
    kafka.away, before = True, dropped()
    audit.enqueue(entry())
    async with run_in_background(audit.run(), "audit"):
        await audit.drain(2)
    assert dropped() - before == 1


async def test_a_drain_is_bounded_where_kafka_hangs(audit: AuditPublisher, kafka: FakeKafka) -> None:
    kafka.hangs, before = True, dropped()
    audit.enqueue(entry(1))
    audit.enqueue(entry(2))
    async with run_in_background(audit.run(), "audit"):
        await audit.drain(0.05)
    assert dropped() - before == 1  # The one in hand may still arrive.


async def test_the_answer_does_not_wait_for_the_trail() -> None:
    async with gateway() as ours:
        for _ in range(AUDIT_QUEUE_SIZE + 10):
            assert (await ours.post({})).status_code == 422
