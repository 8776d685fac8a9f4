"""The consumer with a real broker, which is killed and restarted."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from contracts import topics
from deploy.cli.topics import provision
from deploy.embedded.servers.standalone import running_kafka
from runtime.health import Health
from runtime.kafka.broker import build_broker
from runtime.kafka.consumer import Consumer
from runtime.kafka.policy import Policy
from runtime.kafka.publisher import open_publisher
from runtime.kafka.reconcile import Comparison, Reconciler
from runtime.settings import Kafka
from runtime.tasks import run_in_background
from tests.support.kafka.consuming import CollectingHandler
from tests.support.wait import eventually


async def test_clients_recover_after_broker_was_killed(tmp_path: Path) -> None:
    with running_kafka(tmp_path) as broker:
        settings = Kafka(bootstrap_servers=broker.bootstrap_servers)
        await provision(settings)
        health, taken = Health(), CollectingHandler()
        consumer = Consumer(build_broker(settings, "test"), [topics.DEAD.name], "g", health)

        async def count() -> int:
            return len(set(taken.values))

        async def ready() -> bool:
            await health.refresh()
            return health.ready

        async with (
            open_publisher(settings, "test", health) as publisher,
            run_in_background(consumer.run(taken), "consumer"),
        ):

            async def send(value: bytes) -> None:
                await publisher.send(topics.DEAD.name, key=None, value=value, headers=[], seconds=30)

            await send(b"before")
            await eventually(count, until=lambda n: n == 1)
            broker.kill()
            await eventually(ready, until=lambda ok: not ok, what="red readiness")
            await asyncio.to_thread(broker.start)
            await eventually(ready, seconds=60, what="green readiness")
            await send(b"after")
            await eventually(count, until=lambda n: n == 2, seconds=60, what="the record after the restart")
            await consumer.drain()
    assert set(taken.values) == {b"before", b"after"}


class Slow(CollectingHandler):
    """A handler that is slower than max.poll.interval."""

    def __init__(self) -> None:
        super().__init__()
        self.busy = asyncio.Event()

    async def handle(self, records: Sequence[Any]) -> None:
        self.busy.set()
        await asyncio.sleep(4)
        await super().handle(records)


async def test_regression_rebalance_waits_for_current_batch(kafka: Kafka) -> None:
    slow, quick, health = Slow(), CollectingHandler(), Health()
    policy = Policy(keepalive_seconds=0.2)
    first, second = (
        Consumer(build_broker(kafka, name), [topics.DEAD.name], "g", Health(), policy, kafka.topic_prefix)
        for name in ("first", "second")
    )

    async def assigned() -> int:
        return len(second._connection.consumer.assignment()) if second._connection._subscriber.consumer else 0

    async with (
        open_publisher(kafka, "test", health) as publisher,
        run_in_background(first.run(slow), "first"),
    ):
        await publisher.send(topics.DEAD.name, key=None, value=b"one", headers=[], seconds=30)
        await asyncio.wait_for(slow.busy.wait(), 30)
        async with run_in_background(second.run(quick), "second"):
            # The drain's bound is 50 s: a poll that waited for the assignment used it all up.
            await eventually(assigned, seconds=20, what="the second member's partitions")
            await second.drain()
        await first.drain()
    assert slow.values == [b"one"]


async def test_slow_handler_keeps_partitions_beyond_poll_interval(kafka: Kafka) -> None:
    slow = Slow()
    policy = Policy(keepalive_seconds=0.2, max_poll_seconds=2)
    consumer = Consumer(
        build_broker(kafka, "one"), [topics.DEAD.name], "g", Health(), policy, kafka.topic_prefix
    )

    async def handled() -> bytes:
        return slow.values[-1] if slow.values else b""

    async with (
        open_publisher(kafka, "test", Health()) as publisher,
        run_in_background(consumer.run(slow), "consumer"),
    ):
        for value in (b"one", b"two"):
            slow.busy.clear()
            await publisher.send(topics.DEAD.name, key=None, value=value, headers=[], seconds=30)
            await asyncio.wait_for(slow.busy.wait(), 30)
            generation = consumer._connection.consumer._coordinator.generation
            await eventually(handled, until=value.__eq__, what="the record")
            assert consumer._connection.consumer._coordinator.generation == generation
        await consumer.drain()
    assert slow.values == [b"one", b"two"]


class Clinging(Consumer):
    """A consumer whose last commit hangs while its partitions are revoked."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.revoking = asyncio.Event()

    async def on_partitions_revoked(self, partitions: Any) -> None:
        if partitions:  # none before the first assignment
            self.revoking.set()
            await asyncio.Event().wait()


async def test_regression_member_with_cancelled_stop_leaves_group(kafka: Kafka) -> None:
    # Its heartbeat went on, and the group waited a minute for a member that was gone.
    clinging, quick = CollectingHandler(), CollectingHandler()
    policy = Policy(keepalive_seconds=0.2, stop_seconds=2.5)
    first, second = (
        make(build_broker(kafka, name), [topics.DEAD.name], "g", Health(), policy, kafka.topic_prefix)
        for name, make in (("first", Clinging), ("second", Consumer))
    )
    assert isinstance(first, Clinging)

    async def values_of(by: CollectingHandler) -> list[bytes]:
        return by.values

    async with open_publisher(kafka, "test", Health()) as publisher:

        async def send(value: bytes) -> None:
            await publisher.send(topics.DEAD.name, key=None, value=value, headers=[], seconds=30)

        work = asyncio.create_task(first.run(clinging))
        await send(b"one")
        await eventually(lambda: values_of(clinging), seconds=30, what="the first record")
        async with run_in_background(second.run(quick), "second"):
            await asyncio.wait_for(first.revoking.wait(), 30)
            work.cancel()
            await asyncio.wait({work})
            await send(b"two")
            await eventually(lambda: values_of(quick), seconds=8, what="a record at the second member")
            await second.drain()


class CountingReconciler:
    """A reconciler that finds no difference, and counts its comparisons."""

    def __init__(self) -> None:
        self.comparisons = 0

    async def run(self, _: Any) -> Comparison:
        self.comparisons += 1
        return Comparison({}, ())


async def test_regression_long_polls_of_an_idle_consumer_are_no_gaps(kafka: Kafka) -> None:
    reconciler = CountingReconciler()
    consumer = Consumer(
        build_broker(kafka, "idle"), [topics.DEAD.name], "g", Health(), prefix=kafka.topic_prefix
    )

    async def compared() -> int:
        return reconciler.comparisons

    async with run_in_background(
        consumer.run(CollectingHandler(), cast("Reconciler", reconciler)), "consumer"
    ):
        await eventually(compared, what="the comparison of the start")
        await asyncio.sleep(1)  # the group may assign the partitions again
        before = reconciler.comparisons
        await asyncio.sleep(9)
        await consumer.drain()
    assert reconciler.comparisons - before <= 1  # 4 if each poll of 2 s counts as a gap
