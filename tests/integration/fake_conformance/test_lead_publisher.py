"""The fake lead publisher answers like the real one: the same cases run on both."""

from contextlib import AsyncExitStack
from typing import Any

import pytest

from contracts import topics
from contracts.lead_record import LeadRecord
from runtime.failures import DependencyUnavailable
from runtime.health import Health
from runtime.kafka.publisher import open_publisher
from runtime.settings import Kafka
from services.ingest.publisher import LeadPublisher
from tests.support.factories import records_of
from tests.support.services.gateway import FakeLeadPublisher
from tests.support.wait import eventually

on_both = pytest.mark.parametrize("kind", ["fake", "real"])
RECORD = LeadRecord(b"key", b"value", [])


async def _open(kind: str, kafka: Kafka, parts: AsyncExitStack, *, available: bool = True) -> Any:
    if kind == "fake":
        fake = FakeLeadPublisher()
        fake.unavailable = not available
        return fake
    if not available:
        kafka = Kafka(bootstrap_servers="127.0.0.1:1")
    return LeadPublisher(
        await parts.enter_async_context(open_publisher(kafka, "test", Health())), 10 if available else 1
    )


@on_both
async def test_published_value_is_unchanged(kind: str, kafka: Kafka) -> None:
    async with AsyncExitStack() as parts:
        publisher = await _open(kind, kafka, parts)

        async def connected() -> bool:
            return bool(publisher.connected)

        await eventually(connected, what="the connection")
        await publisher.check()
        await publisher.publish(RECORD)
        if kind == "fake":
            values = publisher.values
        else:
            values = [record.value for record in await records_of(kafka, topics.RECEIVED.name)]
        assert values == [b"value"]


@on_both
async def test_unavailable_kafka_raises_dependency_unavailable(kind: str, kafka: Kafka) -> None:
    async with AsyncExitStack() as parts:
        publisher = await _open(kind, kafka, parts, available=False)
        for call in (publisher.check(), publisher.publish(RECORD)):
            with pytest.raises(DependencyUnavailable) as raised:
                await call
            assert raised.value.dependency == "kafka"
