"""The gateway's fake publishers behave like the real ones: the same cases run on both."""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, contextmanager
from typing import Any

import pytest

from contracts import topics
from contracts.lead_record import LeadRecord
from runtime.failures import DependencyUnavailable
from runtime.health import Health
from runtime.kafka.publisher import Publisher, open_publisher
from runtime.settings import Kafka
from services.ingest.publisher import RefusedLeadPublisher
from tests.support.factories import records_of
from tests.support.services.gateway import FakeLeadSink, FakePublisher
from tests.support.wait import eventually

on_both = pytest.mark.parametrize("kind", ["fake", "real"])
NOBODY = Kafka(bootstrap_servers="127.0.0.1:1")


@pytest.fixture
async def parts() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as opened:
        yield opened


async def _connect(kafka: Kafka, parts: AsyncExitStack) -> Publisher:
    publisher = await parts.enter_async_context(open_publisher(kafka, "test", Health()))

    async def connected() -> bool:
        return publisher.connected

    await eventually(connected, what="the connection")
    return publisher


@contextmanager
def _silent_server() -> Iterator[Kafka]:
    """Listen on a port, so that the kernel accepts connections, and answer nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield Kafka(bootstrap_servers=f"127.0.0.1:{server.getsockname()[1]}")


@on_both
async def test_publisher_sends_the_key_to_the_topic(kind: str, kafka: Kafka, parts: AsyncExitStack) -> None:
    publisher: Any = FakePublisher() if kind == "fake" else await _connect(kafka, parts)
    await publisher.send(topics.AUDIT.name, key=b"k", value=b"v", headers=[], seconds=10)
    if kind == "fake":
        sent = publisher.sent
    else:
        sent = [(topics.AUDIT.name, record.key) for record in await records_of(kafka, topics.AUDIT.name)]
    assert sent == [(topics.AUDIT.name, b"k")]


@on_both
@pytest.mark.parametrize("fault", ["unavailable", "hangs"])
async def test_publisher_raises_within_the_given_seconds(
    kind: str, fault: str, parts: AsyncExitStack
) -> None:
    publisher: Any = FakePublisher()
    if kind == "fake":
        setattr(publisher, fault, True)
    else:
        kafka = NOBODY if fault == "unavailable" else parts.enter_context(_silent_server())
        publisher = await parts.enter_async_context(open_publisher(kafka, "test", Health()))
    async with asyncio.timeout(5):
        with pytest.raises(DependencyUnavailable) as raised:
            await publisher.send(topics.AUDIT.name, key=b"k", value=b"v", headers=[], seconds=0.5)
    assert raised.value.dependency == "kafka"


@on_both
async def test_refused_lead_is_published_unchanged(kind: str, kafka: Kafka, parts: AsyncExitStack) -> None:
    record = LeadRecord(b"k", b"v", [("reason", b"gateway 422")])
    if kind == "fake":
        sink = FakeLeadSink()
        await sink.publish(record)
        (found,) = sink.records
    else:
        await RefusedLeadPublisher(await _connect(kafka, parts), 10).publish(record)
        (found,) = await records_of(kafka, topics.FAILED.name)
    assert (found.key, found.value, list(found.headers)) == (record.key, record.value, record.headers)


@on_both
async def test_refused_lead_without_kafka_raises_dependency_unavailable(
    kind: str, parts: AsyncExitStack
) -> None:
    sink: Any = FakeLeadSink()
    if kind == "fake":
        sink.make_kafka_unavailable()
    else:
        publisher = await parts.enter_async_context(open_publisher(NOBODY, "test", Health()))
        sink = RefusedLeadPublisher(publisher, 0.5)
    with pytest.raises(DependencyUnavailable) as raised:
        await sink.publish(LeadRecord(b"k", b"v", []))
    assert raised.value.dependency == "kafka"
