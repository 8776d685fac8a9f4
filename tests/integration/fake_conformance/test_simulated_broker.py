"""The simulated cluster behaves like Kafka: the same cases, with aiokafka's own clients, run on both."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any
from uuid import uuid4

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRebalanceListener, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaError
from aiokafka.structs import OffsetAndMetadata

from tests.schedules.broker.cluster import Cluster
from tests.schedules.simulation.event_loop import VirtualLoop
from tests.schedules.simulation.network import Network
from tests.schedules.simulation.run import run_virtual
from tests.support.wait import eventually

on_both = pytest.mark.parametrize("kind", ["simulated", "kafka"])
PARTITIONS = 2
SESSION_MS = 6000


class Clients:
    """Opens clients of one topic, on either cluster."""

    def __init__(self, servers: str, topic: str, opened: AsyncExitStack) -> None:
        self.servers, self.topic, self._opened = servers, topic, opened
        self.group = uuid4().hex

    def partition(self, number: int) -> TopicPartition:
        return TopicPartition(self.topic, number)

    async def produce(self, *values: bytes, partition: int = 0) -> list[Any]:
        producer = AIOKafkaProducer(bootstrap_servers=self.servers, acks="all", enable_idempotence=True)
        await producer.start()
        try:
            return [await producer.send_and_wait(self.topic, each, partition=partition) for each in values]
        finally:
            await producer.stop()

    async def join(
        self, listener: ConsumerRebalanceListener | None = None, **options: Any
    ) -> AIOKafkaConsumer:
        """Return a member of the group that polls only when the test does."""
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self.servers,
            group_id=self.group,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            session_timeout_ms=SESSION_MS,
            heartbeat_interval_ms=500,
            metadata_max_age_ms=2000,
            **options,
        )
        consumer.subscribe([self.topic], listener=listener)
        await consumer.start()
        self._opened.push_async_callback(consumer.stop)
        return consumer


Case = Callable[[Clients], Awaitable[None]]


def run_on(kind: str, request: pytest.FixtureRequest, case: Case) -> None:
    """Run a case on a simulated cluster in virtual time, or on the real one."""
    if kind == "simulated":

        async def simulated(_: VirtualLoop, network: Network) -> None:
            cluster = Cluster(network)
            cluster.create_topic("t", PARTITIONS)
            async with AsyncExitStack() as opened:
                await case(Clients(cluster.bootstrap_servers, "t", opened))

        run_virtual(1, simulated)
        return
    servers = str(request.getfixturevalue("stack").bootstrap_servers)

    async def real() -> None:
        topic = f"conformance-{uuid4().hex[:8]}"
        async with AsyncExitStack() as opened:
            admin = AIOKafkaAdminClient(bootstrap_servers=servers)
            await admin.start()
            opened.push_async_callback(admin.close)
            settings = {"message.timestamp.type": "LogAppendTime"}
            await admin.create_topics([NewTopic(topic, PARTITIONS, 1, topic_configs=settings)])
            opened.push_async_callback(admin.delete_topics, [topic])
            await case(Clients(servers, topic, opened))

    asyncio.run(real())


async def poll(consumer: AIOKafkaConsumer, count: int) -> list[tuple[int, int, bytes]]:
    """Poll until `count` records have arrived; return (partition, offset, value) in order."""
    found = list[tuple[int, int, bytes]]()

    async def one_poll() -> int:
        for partition, records in (await consumer.getmany(timeout_ms=200)).items():
            found.extend((partition.partition, each.offset, each.value) for each in records)
        return len(found)

    await eventually(one_poll, until=lambda arrived: arrived >= count, seconds=30, what=f"{count} records")
    return found


async def assigned(consumer: AIOKafkaConsumer, count: int, *others: AIOKafkaConsumer) -> None:
    """Poll until the consumer has `count` partitions; the others must poll too, so that they rebalance."""

    async def look() -> int:
        for each in (consumer, *others):
            await each.getmany(timeout_ms=50)
        return len(consumer.assignment())

    await eventually(look, until=count.__eq__, seconds=30, what=f"{count} partitions")


@on_both
def test_group_reads_what_was_written_with_the_times_of_the_broker(
    kind: str, request: pytest.FixtureRequest
) -> None:
    async def case(clients: Clients) -> None:
        first, second = await clients.produce(b"one", b"two")
        assert (first.offset, second.offset) == (0, 1)
        consumer = await clients.join()
        assert await poll(consumer, 2) == [(0, 0, b"one"), (0, 1, b"two")]
        assert await consumer.end_offsets([clients.partition(0)]) == {clients.partition(0): 2}
        found = await consumer.offsets_for_times({clients.partition(0): 1})
        assert found[clients.partition(0)].offset == 0
        assert await consumer.offsets_for_times({clients.partition(0): 9_999_999_999_999}) == {
            clients.partition(0): None
        }

    run_on(kind, request, case)


@on_both
def test_second_member_gets_a_share_and_returns_it(kind: str, request: pytest.FixtureRequest) -> None:
    async def case(clients: Clients) -> None:
        first = await clients.join()
        await assigned(first, PARTITIONS)
        second = await clients.join()
        await assigned(second, 1, first)
        assert first.assignment() | second.assignment() == {clients.partition(n) for n in range(PARTITIONS)}
        await second.stop()
        await assigned(first, PARTITIONS)

    run_on(kind, request, case)


@on_both
def test_uncommitted_records_are_redelivered_to_the_next_member(
    kind: str, request: pytest.FixtureRequest
) -> None:
    async def case(clients: Clients) -> None:
        await clients.produce(b"one", b"two", b"three")
        first = await clients.join()
        await poll(first, 3)
        await first.commit({clients.partition(0): 1})
        await first.stop()
        second = await clients.join()
        assert await poll(second, 2) == [(0, 1, b"two"), (0, 2, b"three")]
        assert await second.committed(clients.partition(0)) == 1
        assert await second.committed(clients.partition(1)) is None

    run_on(kind, request, case)


@on_both
def test_commit_of_an_earlier_generation_is_refused(kind: str, request: pytest.FixtureRequest) -> None:
    async def case(clients: Clients) -> None:
        await clients.produce(b"one")
        first = await clients.join()
        await poll(first, 1)
        coordinator: Any = first._coordinator
        coordinator.generation -= 1  # as a member does that missed a rebalance
        with pytest.raises((CommitFailedError, KafkaError)) as refused:
            await coordinator._do_commit_offsets(
                first._subscription.subscription.assignment, _offsets(clients.partition(0), 1)
            )
        assert "Illegal" in type(refused.value).__name__ or "Illegal" in str(refused.value)

    run_on(kind, request, case)


def _offsets(partition: TopicPartition, offset: int) -> Any:
    return {partition: OffsetAndMetadata(offset, "")}


@on_both
def test_member_may_commit_any_partition_of_its_topics(kind: str, request: pytest.FixtureRequest) -> None:
    # The group does not protect partitions that another member owns: the consumer has to drop such commits.
    async def case(clients: Clients) -> None:
        first = await clients.join()
        await assigned(first, PARTITIONS)
        second = await clients.join()
        await assigned(second, 1, first)
        (own,) = first.assignment()
        (other,) = second.assignment()
        await first._coordinator.commit_offsets(
            first._subscription.subscription.assignment, _offsets(other, 7)
        )
        assert await second.committed(other) == 7
        with pytest.raises(IllegalStateError):
            await first.commit({other: 8})  # aiokafka itself refuses it
        assert own != other

    run_on(kind, request, case)


@on_both
def test_member_without_heartbeats_loses_its_partitions(kind: str, request: pytest.FixtureRequest) -> None:
    async def case(clients: Clients) -> None:
        first = await clients.join()
        await assigned(first, PARTITIONS)
        coordinator: Any = first._coordinator
        coordinator._coordination_task.cancel()
        coordinator._heartbeat_task.cancel()
        second = await clients.join()
        await assigned(second, PARTITIONS)

    run_on(kind, request, case)


class Slow(ConsumerRebalanceListener):  # type: ignore[misc]
    """A listener that holds up the rebalance until `allowed` is set."""

    def __init__(self) -> None:
        self.revoking, self.allowed = asyncio.Event(), asyncio.Event()

    async def on_partitions_revoked(self, revoked: Any) -> None:
        if revoked:
            self.revoking.set()
            await self.allowed.wait()

    async def on_partitions_assigned(self, _: Any) -> None: ...


@on_both
def test_rebalance_waits_for_a_member_that_still_works(kind: str, request: pytest.FixtureRequest) -> None:
    async def case(clients: Clients) -> None:
        await clients.produce(b"one")
        slow = Slow()
        first = await clients.join(slow)
        await poll(first, 1)
        second = asyncio.create_task(clients.join())
        await asyncio.wait_for(slow.revoking.wait(), 30)
        await first.commit({clients.partition(0): 1})  # still its generation
        await asyncio.sleep(1)
        slow.allowed.set()
        await assigned(await second, 1, first)
        assert await (await second).committed(clients.partition(0)) == 1

    run_on(kind, request, case)


@on_both
def test_fetch_beyond_the_end_starts_again_at_the_start(kind: str, request: pytest.FixtureRequest) -> None:
    async def case(clients: Clients) -> None:
        await clients.produce(b"one", b"two")
        consumer = await clients.join()
        await poll(consumer, 2)
        consumer.seek(clients.partition(0), 100)
        assert await poll(consumer, 2) == [(0, 0, b"one"), (0, 1, b"two")]

    run_on(kind, request, case)
