"""The fake Kafka producer answers like aiokafka: the same cases run on both."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaConnectionError, MessageSizeTooLargeError

from tests.support.kafka.fake_producer import FakeProducer

on_both = pytest.mark.parametrize("kind", ["fake", "aiokafka"])
SMALL = 200


def _fake(fault: Exception | None) -> FakeProducer:
    class Series(FakeProducer):
        created: list[FakeProducer] = []  # noqa: RUF012 - one list for the series
        plan = [fault]  # noqa: RUF012

    return Series()


@pytest.fixture
async def topic(kind: str, request: pytest.FixtureRequest) -> AsyncIterator[str]:
    """A topic that accepts records of at most `SMALL` bytes."""
    name = f"conformance-{uuid4().hex[:8]}"
    if kind == "fake":
        yield name
        return
    admin = AIOKafkaAdminClient(bootstrap_servers=request.getfixturevalue("stack").bootstrap_servers)
    await admin.start()
    await admin.create_topics([NewTopic(name, 1, 1, topic_configs={"max.message.bytes": str(SMALL)})])
    yield name
    await admin.delete_topics([name])
    await admin.close()


async def _started(kind: str, request: pytest.FixtureRequest, fault: Exception | None = None) -> Any:
    producer: Any = _fake(fault)
    if kind != "fake":
        producer = AIOKafkaProducer(bootstrap_servers=request.getfixturevalue("stack").bootstrap_servers)
    await producer.start()
    return producer


@on_both
async def test_acknowledgement_names_the_topic(kind: str, topic: str, request: pytest.FixtureRequest) -> None:
    producer = await _started(kind, request)
    try:
        delivery = await producer.send(topic, key=b"k", value=b"v", headers=[])
        assert (await delivery).topic == topic
        assert await producer.client.force_metadata_update() is True
    finally:
        await producer.stop()


@on_both
async def test_refusal_of_the_broker_comes_with_the_acknowledgement(
    kind: str, topic: str, request: pytest.FixtureRequest
) -> None:
    producer = await _started(kind, request, MessageSizeTooLargeError())
    try:
        delivery = await producer.send(topic, key=b"k", value=b"v" * 2 * SMALL, headers=[])
        with pytest.raises(MessageSizeTooLargeError):
            await delivery
    finally:
        await producer.stop()


@on_both
async def test_start_without_a_broker_raises_connection_error(kind: str) -> None:
    producer: Any = _fake(KafkaConnectionError())
    if kind != "fake":
        producer = AIOKafkaProducer(bootstrap_servers="127.0.0.1:1", request_timeout_ms=2000)
    with pytest.raises(KafkaConnectionError):
        await producer.start()
    await producer.stop()
