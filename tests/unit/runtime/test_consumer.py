"""What the consumer does with a batch that fails, without a broker: narrowing, parking, pausing."""

import asyncio
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import KafkaConnectionError, KafkaError
from faststream.kafka import KafkaBroker
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.failures import (
    Backoff,
    DependencyRefused,
    DependencyUnavailable,
    Failure,
    PermanentError,
    RetryableError,
)
from runtime.health import Health
from runtime.kafka.batch_processor import MAX_REFUSALS, BatchProcessor
from runtime.kafka.consumer import Consumer
from runtime.kafka.handler import Batch
from runtime.kafka.policy import Policy
from runtime.kafka.watchdog import STALL_SECONDS, ConsumerStalled, Watchdog
from tests.support.fake_kafka import PARTITION, FakeConsumer
from tests.support.wait import eventually


class Place(int):
    """A record that is only its place."""

    topic, partition, key, headers = "t", 0, None, ()

    @property
    def offset(self) -> int:
        return int(self)


QUICK = Backoff(base_seconds=0.0, cap_seconds=0.0)


@dataclass
class Recorder:
    """A handler that refuses some records and remembers what it took and parked."""

    bad: set[int]
    error: Exception
    taken: list[int] = field(default_factory=list)
    parked: list[tuple[int, str]] = field(default_factory=list)
    calls: int = 0

    async def handle(self, records: Sequence[Any]) -> None:
        self.calls += 1
        if self.bad.intersection(records):
            raise self.error
        self.taken.extend(records)

    async def send_to_retry_queue(self, record: Any, failure: Failure) -> None:
        self.parked.append((record, failure.reason))


def deliver(handler: Recorder, records: Sequence[int]) -> BatchProcessor:
    delivery = BatchProcessor(handler, cast("Batch", [Place(each) for each in records]), QUICK)
    asyncio.run(delivery.run())
    return delivery


@settings(max_examples=60, deadline=None)
@given(size=st.integers(1, 200), bad=st.sets(st.integers(0, 199), max_size=6))
def test_bisection_retries_only_faulty_records_and_keeps_order(size: int, bad: set[int]) -> None:
    handler = Recorder(bad, RetryableError("refused"))
    deliver(handler, list(range(size)))
    assert handler.taken == [n for n in range(size) if n not in bad]
    assert handler.parked == [(n, "refused") for n in sorted(bad) if n < size]


def test_a_failure_that_no_retry_can_help_keeps_its_word() -> None:
    handler = Recorder({3}, PermanentError("undecodable"))
    deliver(handler, [1, 2, 3])
    assert handler.parked == [(3, "undecodable")]


def test_a_bug_is_tried_three_times_and_then_parked_under_its_type() -> None:
    handler = Recorder({1}, ZeroDivisionError("secret text"))
    deliver(handler, [1])
    assert handler.calls == 3
    assert handler.parked == [(1, "bug: ZeroDivisionError")]


def test_record_that_the_retry_queue_refuses_pauses_the_stage() -> None:
    class Refusing(Recorder):
        async def send_to_retry_queue(self, record: Any, failure: Failure) -> None:
            raise ZeroDivisionError

    with pytest.raises(DependencyUnavailable, match="t/0 at 7"):
        deliver(Refusing({7}, RetryableError("refused")), [Place(7)])


def test_a_fault_of_the_world_parks_nothing() -> None:
    handler = Recorder({1}, DependencyUnavailable("database", "away"))
    with pytest.raises(DependencyUnavailable):
        deliver(handler, [1, 2])
    assert handler.parked == []
    assert handler.calls == 1


@settings(max_examples=60, deadline=None)
@given(size=st.integers(2, 200), bad=st.sets(st.integers(0, 199), max_size=6))
def test_regression_refused_records_go_to_retry_if_others_are_stored(size: int, bad: set[int]) -> None:
    # A trigger's P0001 for one row paused the stage for ever.
    handler = Recorder(bad, DependencyRefused("database", "database answered P0001"))
    of_batch = {n for n in bad if n < size}
    if len(of_batch) == size:
        with pytest.raises(DependencyRefused):
            deliver(handler, list(range(size)))
        assert handler.parked == []
        return
    assert deliver(handler, list(range(size))).completed == size
    assert sorted(handler.taken) == [n for n in range(size) if n not in bad]
    assert sorted(handler.parked) == [(n, "database answered P0001") for n in sorted(of_batch)]


def test_database_refusing_every_record_pauses_stage_after_few_tries() -> None:
    handler = Recorder(set(range(500)), DependencyRefused("database", "database answered 42P01"))
    delivery = BatchProcessor(handler, cast("Batch", [Place(each) for each in range(500)]), QUICK)
    with pytest.raises(DependencyRefused):
        asyncio.run(delivery.run())
    assert (handler.parked, delivery.completed) == ([], 0)
    assert handler.calls < 3 * MAX_REFUSALS


def test_single_refused_record_waits_for_another_to_find_the_cause() -> None:
    handler = Recorder({7}, DependencyRefused("database", "database answered P0001"))
    with pytest.raises(DependencyRefused):
        deliver(handler, [7])
    assert handler.parked == []


def test_pause_reports_progress_so_that_work_is_not_repeated() -> None:
    class Breaking(Recorder):
        """Refuses the records of the first half, and then finds the world away."""

        async def handle(self, records: Sequence[Any]) -> None:
            if len(self.parked) == 3:
                raise DependencyUnavailable("breaker", "open")
            await super().handle(records)

    handler = Breaking(set(range(8)), RetryableError("refused"))
    delivery = BatchProcessor(handler, cast("Batch", [Place(each) for each in range(8)]), QUICK)
    with pytest.raises(DependencyUnavailable):
        asyncio.run(delivery.run())
    assert [record for record, _ in handler.parked] == [0, 1, 2]
    assert delivery.completed == 3


def lagging_consumer() -> FakeConsumer:
    """Return a consumer of 20 records, of which 10 are committed."""
    consumer = FakeConsumer(end=20)
    consumer.committed_offsets[PARTITION] = 10
    return consumer


async def test_lag_without_progress_and_without_a_pause_ends_the_process() -> None:
    watch, kafka = Watchdog(), lagging_consumer()
    await watch.check(cast("Any", kafka))
    watch._progress_at -= STALL_SECONDS + 1
    watch._measure_at = 0
    with pytest.raises(ConsumerStalled, match="10 records behind"):
        await watch.check(cast("Any", kafka))
    kafka.committed_offsets[PARTITION], watch._measure_at = 20, 0
    await watch.check(cast("Any", kafka))


@pytest.mark.parametrize("committed", [None, 5], ids=["nothing committed", "a commit below the start"])
async def test_regression_records_that_expired_are_no_lag_that_ends_the_process(
    committed: int | None,
) -> None:
    # It counted them for ever: the process was restarted every two minutes.
    watch, kafka = Watchdog(), lagging_consumer()
    kafka.starts[PARTITION] = 20
    kafka.committed_offsets = {} if committed is None else {PARTITION: committed}
    await watch.check(cast("Any", kafka))
    watch._progress_at -= STALL_SECONDS + 1
    watch._measure_at = 0
    await watch.check(cast("Any", kafka))


async def test_regression_a_client_that_no_broker_answers_is_replaced(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    watch, kafka = Watchdog(silence_seconds=60), lagging_consumer()
    await watch.check(cast("Any", kafka))
    now = time.monotonic()
    monkeypatch.setattr("runtime.workarounds.aiokafka.time.monotonic", lambda: now + 61)
    with pytest.raises(KafkaConnectionError):
        await watch.check(cast("Any", kafka))


async def test_readiness_asks_the_brokers_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runtime.health.REUSE_SECONDS", 0.0)
    health, kafka = Health(), lagging_consumer()
    consuming(kafka, health, Policy())
    for answers in (True, False, True):
        kafka._client.answers = answers
        await health.refresh()
        assert health.parts["kafka"].ok is answers


async def test_regression_a_drain_does_not_wait_for_a_consumer_that_has_ended() -> None:
    class Broken:
        consumer = None

        def subscriber(self, *_: Any, **__: Any) -> "Broken":
            return self

        async def start(self) -> None:
            raise RuntimeError("a bug")

        async def stop(self) -> None:
            pass

    consumer = Consumer(cast("KafkaBroker", Broken()), ["topic"], "group", Health())
    with pytest.raises(RuntimeError):
        await consumer.run(Recorder(set(), RuntimeError()))
    async with asyncio.timeout(1):
        await consumer.drain()


def test_regression_a_start_outlasts_the_members_that_died_in_its_group() -> None:
    # It gave up after 30 s, as long as a dead member's session lasts, and left one more of them behind.
    policy = Policy()
    assert policy.start_seconds > max(policy.session_seconds, policy.rebalance_seconds)


class UnassignedConsumer(FakeConsumer):
    """A consumer that waits for an assignment which never comes."""

    def __init__(self) -> None:
        super().__init__(end=20)
        self.committed_offsets[PARTITION] = 10

    async def getmany(self, *_: TopicPartition, **__: Any) -> dict[TopicPartition, list[Any]]:
        await asyncio.Event().wait()
        return {}


class Around:
    """A broker that holds this consumer."""

    def __init__(self, consumer: FakeConsumer) -> None:
        self.consumer = consumer

    def subscriber(self, *_: Any, **__: Any) -> "Around":
        return self

    async def start(self) -> None: ...

    async def stop(self) -> None: ...


def consuming(kafka: FakeConsumer, health: Health, policy: Policy) -> Consumer:
    return Consumer(cast("KafkaBroker", Around(kafka)), ["t"], "group", health, policy)


async def test_regression_hung_poll_fails_watchdog_and_readiness() -> None:
    # It stood in a rebalance without an end: green, with lag, and no watchdog ever looked.
    health = Health()
    consumer = consuming(UnassignedConsumer(), health, Policy(take_seconds=0.01))
    running = asyncio.create_task(consumer.run(Recorder(set(), RuntimeError())))

    async def reason() -> str:
        return health.parts["consumer"].reason

    await eventually(reason, until=lambda said: "assignment" in said, what="red readiness")
    consumer._watchdog._progress_at -= STALL_SECONDS + 1
    consumer._watchdog._measure_at = 0
    with pytest.raises(ConsumerStalled):
        await asyncio.wait_for(running, 5)


async def test_regression_a_stop_does_not_wait_for_a_poll_that_waits_for_ever() -> None:
    consumer = consuming(UnassignedConsumer(), Health(), Policy(take_seconds=0.01))
    running = asyncio.create_task(consumer.run(Recorder(set(), RuntimeError())))
    await asyncio.sleep(0.05)
    async with asyncio.timeout(1):
        await consumer.drain()
        await running


async def test_a_handler_that_hangs_where_nothing_should_ends_the_process(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Full(UnassignedConsumer):
        async def getmany(self, *_: TopicPartition, **__: Any) -> dict[TopicPartition, list[Any]]:
            return {PARTITION: [Place(11)]}

    class Hanging(Recorder):
        async def handle(self, records: Sequence[Any]) -> None:
            await asyncio.Event().wait()

    monkeypatch.setattr("runtime.kafka.watchdog.HANG_SECONDS", 0.05)
    policy = Policy(keepalive_seconds=0.01)
    consumer = consuming(Full(), Health(), policy)
    with pytest.raises(ConsumerStalled, match="in hand"):
        await asyncio.wait_for(consumer.run(Hanging(set(), RuntimeError())), 5)


async def test_regression_whatever_a_stop_raises_the_consumer_connects_again() -> None:
    # FastStream raises an ExceptionGroup, which contextlib.suppress does not look into (Python 3.11).
    class Failing(Around):
        def __init__(self, consumer: FakeConsumer) -> None:
            super().__init__(consumer)
            self.starts = 0

        async def start(self) -> None:
            self.starts += 1
            if self.starts == 1:
                raise KafkaError("no broker")

        async def stop(self) -> None:
            raise ExceptionGroup("Failed to stop subscribers", [KafkaError("no coordinator")])

    around = Failing(UnassignedConsumer())
    policy = Policy(take_seconds=0.01, backoff=QUICK)
    consumer = Consumer(cast("KafkaBroker", around), ["t"], "group", Health(), policy)
    running = asyncio.create_task(consumer.run(Recorder(set(), RuntimeError())))

    async def starts() -> int:
        return around.starts

    await eventually(starts, until=lambda n: n == 2, what="another connection")
    await consumer.drain()
    await running


async def test_regression_rebalance_waits_for_records_once_fetched() -> None:
    # Between taking a batch and marking it as in hand the loop waited for Kafka's offsets.
    kafka, busy = OneRecord(), Hanging(set(), RuntimeError())
    consumer = consuming(kafka, Health(), Policy(drain_seconds=0.2, stop_seconds=0.1))
    running = asyncio.create_task(consumer.run(busy))
    await asyncio.wait_for(kafka.taken.wait(), 5)
    revoked = asyncio.create_task(consumer.on_partitions_revoked([PARTITION]))
    await asyncio.sleep(0.05)
    assert busy.calls == 1
    assert not revoked.done()
    running.cancel()
    await asyncio.wait({running, revoked})


class OneRecord(UnassignedConsumer):
    """Hands out one record, and is slow to tell its offsets from then on."""

    def __init__(self) -> None:
        super().__init__()
        self.taken = asyncio.Event()

    async def getmany(self, *_: TopicPartition, **__: Any) -> dict[TopicPartition, list[Any]]:
        if self.taken.is_set():
            await asyncio.Event().wait()
        self.taken.set()
        return {PARTITION: [Place(11)]}

    async def end_offsets(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        if self.taken.is_set():
            await asyncio.sleep(0.1)
        return await super().end_offsets(partitions)


class Hanging(Recorder):
    """A handler that never ends."""

    async def handle(self, records: Sequence[Any]) -> None:
        self.calls += 1
        await asyncio.Event().wait()
