"""A consumer over a fake of aiokafka, and handlers that record what they receive."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final, cast

from faststream.kafka import KafkaBroker

from runtime.failures import Backoff, Failure
from runtime.health import Health
from runtime.kafka.consumer import Consumer
from runtime.kafka.policy import Policy
from tests.support.kafka.fake_kafka import PARTITION, FakeConsumer

NO_BACKOFF: Final = Backoff(base_seconds=0.0, cap_seconds=0.0)


class FakeBroker:
    """A FastStream broker with one subscriber, which has `kafka` as its consumer while the broker runs."""

    def __init__(self, kafka: FakeConsumer) -> None:
        self._kafka = kafka
        self.consumer: FakeConsumer | None = None
        self.commits_at_stop: list[Any] | None = None  # the commits that had finished

    def subscriber(self, *_: Any, **__: Any) -> "FakeBroker":
        return self

    async def start(self) -> None:
        self.consumer = self._kafka

    async def stop(self) -> None:
        self.commits_at_stop = list(self._kafka.commits_finished)
        self.consumer = None


def make_consumer(
    kafka: FakeConsumer, health: Health | None = None, policy: Policy | None = None, **fields: Any
) -> tuple[Consumer, FakeBroker]:
    """Return a consumer of `kafka` that is connected already, and its broker.

    Without a `policy`, a batch has at most two records.
    """
    policy = policy or Policy(max_records=2, keepalive_seconds=0.01, backoff=NO_BACKOFF, **fields)
    broker = FakeBroker(kafka)
    broker.consumer = kafka
    return Consumer(cast("KafkaBroker", broker), ["t"], "group", health or Health(), policy), broker


def make_lagging_consumer() -> FakeConsumer:
    """Return a consumer of 20 records, of which 10 are committed."""
    consumer = FakeConsumer(end=20)
    consumer.committed_offsets[PARTITION] = 10
    return consumer


class FakeOffset(int):
    """A record that is only its offset."""

    topic, partition, key, headers = "t", 0, None, ()

    @property
    def offset(self) -> int:
        return int(self)


@dataclass
class RecordingHandler:
    """A handler that fails for some records, and records what it handled and what it queued for a retry."""

    bad: set[int] = field(default_factory=set)
    error: Exception = field(default_factory=RuntimeError)
    handled: list[int] = field(default_factory=list)
    queued: list[tuple[int, str]] = field(default_factory=list)
    calls: int = 0

    async def handle(self, records: Sequence[Any]) -> None:
        self.calls += 1
        if self.bad.intersection(records):
            raise self.error
        self.handled.extend(records)

    async def send_to_retry_queue(self, record: Any, failure: Failure) -> None:
        self.queued.append((record, failure.reason))


class BlockingHandler:
    """A handler that ends each batch once `allowed` is set, and then raises `error`, once."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.allowed = asyncio.Event()
        self.error: Exception | None = None

    async def handle(self, records: Sequence[Any]) -> None:
        self.batches.append([record.offset for record in records])
        await self.allowed.wait()
        if self.error:
            error, self.error = self.error, None
            raise error

    async def send_to_retry_queue(self, record: Any, failure: Failure) -> None:
        raise AssertionError(failure.reason)


class CollectingHandler:
    """A handler that collects the values of its records, and queues none."""

    def __init__(self) -> None:
        self.values: list[bytes] = []

    async def handle(self, records: Sequence[Any]) -> None:
        self.values.extend(record.value for record in records)

    async def send_to_retry_queue(self, record: Any, failure: Failure) -> None:
        raise AssertionError(failure.reason)
