"""Kafka clients find a real broker again after it has moved, by its bootstrap address."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions
from aiokafka.client import AIOKafkaClient

from contracts import topics
from deploy.cli.topics import provision
from deploy.embedded.servers.standalone import free_ports
from runtime.failures import DependencyUnavailable, Failure
from runtime.health import Health
from runtime.kafka.broker import build_broker
from runtime.kafka.consumer import Consumer
from runtime.kafka.policy import Policy
from runtime.kafka.publisher import Publisher
from runtime.settings import Kafka
from runtime.tasks import run_in_background
from runtime.workarounds.aiokafka_metadata import enable_rebootstrap
from services.admin.monitoring.consumer_lag import LagReader
from tests.faults.injections.proxy import Proxy
from tests.support.kafka.brokers import MovingBroker
from tests.support.kafka.consuming import CollectingHandler
from tests.support.stack import Stack
from tests.support.wait import eventually
from tests.support.web.unreachable_address import blackhole

TOPIC = topics.RECEIVED.name
# Within the 75 s that are promised, and far below the minutes for which clients were silent.
RECOVERY_SECONDS = 30.0


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[MovingBroker]:
    made = MovingBroker(tmp_path)
    yield made
    made.stop()


class Clients:
    """A publisher and a consumer of one topic."""

    def __init__(
        self, publisher: Publisher, consumer: Consumer, health: Health, taken: CollectingHandler
    ) -> None:
        self._publisher, self._consumer, self._health, self._consumed = publisher, consumer, health, taken

    async def deliver(self, value: bytes, seconds: float = RECOVERY_SECONDS) -> None:
        """Publish a record, with retries, and wait until the consumer has received it."""

        async def published() -> bool:
            try:
                await self._publisher.send(TOPIC, key=b"k", value=value, headers=[], seconds=2)
            except Failure:
                return False
            return True

        async def consumed() -> bool:
            return value in self._consumed.values

        await eventually(published, seconds=seconds, what="an acknowledgement")
        await eventually(consumed, seconds=seconds, what="the record at the consumer")

    async def opened(self) -> list[Any]:
        """Return the open aiokafka clients."""
        consumer = self._consumer._connection._subscriber.consumer
        return [each for each in (self._publisher._producer, consumer) if each]

    async def is_ready(self) -> bool:
        await self._health.refresh()
        return self._health.ready


@asynccontextmanager
async def clients(kafka: Kafka, silence_seconds: float = 60.0) -> AsyncIterator[Clients]:
    health, taken = Health(), CollectingHandler()
    policy = Policy(silence_seconds=silence_seconds, session_seconds=6)  # the minimum of Kafka
    consumer = Consumer(build_broker(kafka, "test"), [TOPIC], "g", health, policy, kafka.topic_prefix)
    publisher = Publisher(kafka, "test", silence_seconds)
    health.check("kafka_producer", publisher.check)
    async with (
        run_in_background(publisher.run(), "publisher"),
        run_in_background(consumer.run(taken), "consumer"),
    ):
        yield Clients(publisher, consumer, health, taken)
        await consumer.drain()


async def test_regression_clients_find_moved_cluster(broker: MovingBroker) -> None:
    # The gateway and the consumers were silent until their restart, and the gateway called Kafka well.
    await asyncio.to_thread(broker.move)
    kafka = Kafka(bootstrap_servers=broker.bootstrap_servers)
    await provision(kafka)
    async with clients(kafka) as both, aclosing(LagReader(kafka)) as lag:

        async def admin_reaches_kafka() -> bool:
            try:
                await lag.ping()
            except DependencyUnavailable:
                return False
            return True

        await both.deliver(b"before")
        assert await admin_reaches_kafka()
        await asyncio.to_thread(broker.stop)
        await eventually(both.is_ready, until=lambda ready: not ready, what="red readiness")
        await asyncio.to_thread(broker.move, 2)  # another port, node id and cluster
        await provision(kafka)
        await both.deliver(b"after")
        await eventually(both.is_ready, what="green readiness")
        await eventually(admin_reaches_kafka, what="the admin service's connection")


async def test_regression_clients_of_silent_broker_are_replaced(broker: MovingBroker) -> None:
    # A host that vanishes refuses nothing: for each request a client waits 40 s for its answer.
    (data,) = free_ports(1)
    proxy = Proxy(data)
    await proxy.start()
    await asyncio.to_thread(broker.move, 1, data, proxy.port)
    kafka = Kafka(bootstrap_servers=broker.bootstrap_servers)
    await provision(kafka)
    try:
        async with clients(kafka, silence_seconds=2.0) as both:
            await both.deliver(b"before")
            silent = await both.opened()
            proxy.blackhole.update(("up", "down"))
            await asyncio.to_thread(broker.move)
            await eventually(
                both.opened,
                until=lambda now: len(now) == len(silent) and not set(now) & set(silent),
                seconds=RECOVERY_SECONDS,
                what="two other clients",
            )
            await both.deliver(b"after")
    finally:
        await proxy.stop()


async def test_regression_dead_bootstrap_server_leaves_time_for_others(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    # It had aiokafka's whole request timeout of 40 s, and a publisher gives up a start after 10 s.
    monkeypatch.setattr("runtime.workarounds.aiokafka_metadata.CONNECT_SECONDS", 0.5)
    monkeypatch.setattr("aiokafka.conn.random.shuffle", lambda _: None)  # the dead one first
    enable_rebootstrap()
    with blackhole() as port:
        client = AIOKafkaClient(bootstrap_servers=f"127.0.0.2:{port},{stack.bootstrap_servers}")
        try:
            async with asyncio.timeout(8):
                await client.bootstrap()
        finally:
            await client.close()


async def test_regression_consumer_sees_new_partitions_and_topic_deletion(kafka: Kafka) -> None:
    # It did not for five minutes, the age that aiokafka allows its metadata.
    broker = build_broker(kafka, "test", metadata_max_age_ms=300)
    taken = CollectingHandler()
    consumer = Consumer(broker, [TOPIC], "g", Health(), Policy(), kafka.topic_prefix)
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap_servers)
    await admin.start()

    async def assigned() -> set[int]:
        found = consumer._connection._subscriber.consumer
        return {each.partition for each in found.assignment()} if found else set()

    try:
        async with run_in_background(consumer.run(taken), "consumer"):
            before = await eventually(assigned, what="an assignment")
            expected = len(before) + 1
            await admin.create_partitions({kafka.topic_prefix + TOPIC: NewPartitions(expected)})
            await eventually(assigned, until=lambda parts: len(parts) == expected, what="the new partition")
            await admin.delete_topics([kafka.topic_prefix + TOPIC])
            await eventually(assigned, until=lambda parts: not parts, what="no partition")
            await consumer.drain()
    finally:
        await admin.close()
