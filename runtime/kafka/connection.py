"""Joining and leaving a consumer group."""

import asyncio
from collections.abc import Callable, Collection

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import KafkaError
from faststream.kafka import KafkaBroker

from runtime.failures import DependencyUnavailable
from runtime.kafka.broker import check_brokers
from runtime.kafka.policy import Policy
from runtime.workarounds.aiokafka import force_close_consumer
from runtime.workarounds.aiokafka_fetches import LongFetches
from runtime.workarounds.faststream import stop_broker, subscribe_without_handler


class GroupConnection:
    """Joins the consumer group with a new aiokafka consumer. Leaves the group, by force if necessary."""

    def __init__(
        self,
        broker: KafkaBroker,
        topics: Collection[str],
        group: str,
        policy: Policy,
        listener: ConsumerRebalanceListener,
    ) -> None:
        self._broker = broker
        self._policy = policy
        self._fetches: LongFetches | None = None
        self._subscriber = subscribe_without_handler(
            broker,
            *topics,
            group_id=group,
            listener=listener,
            session_timeout_ms=int(policy.session_seconds * 1000),
            rebalance_timeout_ms=int(policy.rebalance_seconds * 1000),
            fetch_max_wait_ms=int(policy.fetch_wait_seconds * 1000),
            max_poll_interval_ms=int(policy.max_poll_seconds * 1000),
        )

    @property
    def consumer(self) -> AIOKafkaConsumer:
        """Return the current consumer. Raises `KafkaError` if none is open."""
        consumer = self._subscriber.consumer
        if consumer is None:
            raise KafkaError("the consumer is closed")
        return consumer

    def is_assigned(self, topic: str, partition: int) -> bool:
        """Return True if the group has assigned this partition to this consumer."""
        consumer = self._subscriber.consumer
        return consumer is not None and TopicPartition(topic, partition) in consumer.assignment()

    async def check(self) -> None:
        """Raise `DependencyUnavailable` unless a broker answers the consumer now."""
        consumer = self._subscriber.consumer
        if consumer is None:
            raise DependencyUnavailable("kafka", "connecting")
        await check_brokers(consumer._client)  # noqa: SLF001 - aiokafka hides it

    async def join(self, on_fetch: Callable[[], None]) -> None:
        """Connect and join the group. Raises `KafkaError`, `OSError` or `TimeoutError`.

        `on_fetch` is called after each answer to a fetch, also if it has no records.
        """
        await asyncio.wait_for(self._broker.start(), self._policy.start_seconds)
        self._fetches = LongFetches(self.consumer, self._policy.idle_fetch_seconds, on_fetch)

    def abandon_fetches(self) -> None:
        """Fetch again at once. Call it after a seek: the fetch that waits has the position before."""
        if self._fetches:
            self._fetches.abandon()

    async def leave(self, seconds: float, force_seconds: float) -> None:
        """Stop the consumer within `seconds`. If that fails, close it by force within `force_seconds`.

        A consumer that is not closed stays a member of the group, and no other member reads its partitions
        until its session times out.
        """
        consumer, stopped = self._subscriber.consumer, False
        try:
            stopped = await stop_broker(self._broker, seconds)
        finally:
            if consumer is not None and not stopped:
                await force_close_consumer(consumer, force_seconds)
