"""What the consumer does with a batch that fails, without a broker: narrowing, parking, pausing."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import pytest
from aiokafka import TopicPartition
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.consumer import Consumer, Policy, Stalled
from runtime.failures import Backoff, FailedNow, Failure, InvalidForEver, WorldAway
from runtime.health import Health
from runtime.kafka import build_broker
from runtime.settings import Kafka


class Place(int):
    """A record that is only its place."""

    topic, partition = "t", 0

    @property
    def offset(self) -> int:
        return int(self)


QUICK = Policy(backoff=Backoff(base_seconds=0.0, cap_seconds=0.0))


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

    async def park(self, record: Any, failure: Failure) -> None:
        self.parked.append((record, failure.reason))


def deliver(handler: Recorder, records: Sequence[int]) -> None:
    async def run() -> None:
        broker = build_broker(Kafka(bootstrap_servers="127.0.0.1:1"), "test")
        consumer = Consumer(broker, ["t"], "g", Health(), QUICK)
        consumer._handler = handler
        await consumer._deliver(list(records))

    asyncio.run(run())


@settings(max_examples=60, deadline=None)
@given(size=st.integers(1, 200), bad=st.sets(st.integers(0, 199), max_size=6))
def test_narrowing_parks_exactly_the_records_at_fault_and_keeps_the_order_of_the_others(
    size: int, bad: set[int]
) -> None:
    handler = Recorder(bad, FailedNow("refused"))
    deliver(handler, list(range(size)))
    assert handler.taken == [n for n in range(size) if n not in bad]
    assert handler.parked == [(n, "refused") for n in sorted(bad) if n < size]


def test_a_failure_that_no_retry_can_help_keeps_its_word() -> None:
    handler = Recorder({3}, InvalidForEver("undecodable"))
    deliver(handler, [1, 2, 3])
    assert handler.parked == [(3, "undecodable")]


def test_a_bug_is_tried_three_times_and_then_parked_under_its_type() -> None:
    handler = Recorder({1}, ZeroDivisionError("secret text"))
    deliver(handler, [1])
    assert handler.calls == 3
    assert handler.parked == [(1, "bug: ZeroDivisionError")]


def test_a_record_that_cannot_even_be_parked_pauses_the_stage_instead_of_being_passed_over() -> None:
    class Refusing(Recorder):
        async def park(self, record: Any, failure: Failure) -> None:
            raise ZeroDivisionError

    with pytest.raises(WorldAway, match="t/0 at 7"):
        deliver(Refusing({7}, FailedNow("refused")), [Place(7)])


def test_a_fault_of_the_world_parks_nothing() -> None:
    handler = Recorder({1}, WorldAway("database", "away"))
    with pytest.raises(WorldAway):
        deliver(handler, [1, 2])
    assert handler.parked == []
    assert handler.calls == 1


class FakeKafka:
    """What the watchdog asks: one partition, of which 10 records are not taken."""

    partition = TopicPartition("t", 0)

    def assignment(self) -> set[TopicPartition]:
        return {self.partition}

    def highwater(self, _: TopicPartition) -> int:
        return 20


async def test_lag_without_progress_and_without_a_pause_ends_the_process() -> None:
    broker = build_broker(Kafka(bootstrap_servers="127.0.0.1:1"), "test")
    consumer = Consumer(broker, ["t"], "g", Health(), QUICK)
    consumer._subscriber.consumer = cast("Any", FakeKafka())
    consumer._positions[FakeKafka.partition] = 10
    consumer._watch()
    consumer._progress -= QUICK.watchdog_seconds + 1
    with pytest.raises(Stalled, match="10 records behind"):
        consumer._watch()
    consumer._positions[FakeKafka.partition] = 20
    consumer._watch()
