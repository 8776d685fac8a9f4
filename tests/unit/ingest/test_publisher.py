"""The audit audit: behind the answers, bounded, and honest about what it dropped."""

from typing import cast
from uuid import uuid4

import pytest

from contracts.audit import AuditEvent, AuditRecorded
from contracts.leads import EXAMPLE
from runtime import metrics
from runtime.kafka.publisher import Publisher
from runtime.tasks import run_in_background
from services.ingest.publisher import AUDIT_QUEUE_SIZE, AuditPublisher
from tests.support.services.gateway import FakePublisher, run_gateway
from tests.support.wait import eventually


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
def kafka() -> FakePublisher:
    return FakePublisher()


@pytest.fixture
def audit(kafka: FakePublisher) -> AuditPublisher:
    return AuditPublisher(cast("Publisher", kafka))


async def test_audit_entry_is_published_under_its_request_id(
    audit: AuditPublisher, kafka: FakePublisher
) -> None:
    async def sent() -> list[tuple[str, bytes]]:
        return kafka.sent

    async with run_in_background(audit.run(), "audit"):
        audit.enqueue(entry(7))
        assert await eventually(sent) == [("audit.recorded.v1", b"r7")]


async def test_enqueue_drops_and_counts_entries_beyond_the_queue(audit: AuditPublisher) -> None:
    before = dropped()
    for number in range(AUDIT_QUEUE_SIZE + 5):
        audit.enqueue(entry(number))
    assert dropped() - before == 5


async def test_drain_publishes_queued_entries_without_pauses(
    audit: AuditPublisher, kafka: FakePublisher
) -> None:
    for number in range(50):
        audit.enqueue(entry(number))
    async with run_in_background(audit.run(), "audit"):
        await audit.drain(2)
    assert len(kafka.sent) == 50


async def test_entries_are_dropped_and_counted_without_kafka(
    audit: AuditPublisher, kafka: FakePublisher
) -> None:
    kafka.unavailable, before = True, dropped()
    audit.enqueue(entry())
    async with run_in_background(audit.run(), "audit"):
        await audit.drain(2)
    assert dropped() - before == 1


async def test_drain_ends_in_time_if_kafka_hangs(audit: AuditPublisher, kafka: FakePublisher) -> None:
    kafka.hangs, before = True, dropped()
    audit.enqueue(entry(1))
    audit.enqueue(entry(2))
    async with run_in_background(audit.run(), "audit"):
        await audit.drain(0.05)
    assert dropped() - before == 1  # the entry that is being sent may still arrive


async def test_response_does_not_wait_for_the_audit_queue() -> None:
    async with run_gateway() as gateway:
        for _ in range(AUDIT_QUEUE_SIZE + 10):
            assert (await gateway.post({})).status_code == 422
