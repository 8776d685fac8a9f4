"""Reads the lag of each consumer group from Kafka. Every wait has a timeout."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final, TypeAlias

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError
from faststream.kafka.security import parse_security

from contracts import topics
from runtime.failures import DependencyUnavailable
from runtime.kafka.broker import METADATA_MAX_AGE_MS
from runtime.kafka.positions import lag
from runtime.settings import Kafka
from runtime.workarounds.aiokafka import raise_offset_fetch_errors, stop_within
from runtime.workarounds.aiokafka_metadata import enable_rebootstrap
from services.admin.monitoring.record_age import RecordAges

# A page waits for this read. A healthy broker answers in much less.
READ_TIMEOUT_SECONDS: Final = 3.0
CLOSE_TIMEOUT_SECONDS: Final = 2.0
CLIENT_ID: Final = "fastcore-admin"

Connection: TypeAlias = tuple[AIOKafkaAdminClient, AIOKafkaConsumer]
Lags: TypeAlias = dict[str, dict[str, int]]


class LagReader:
    """Reads lags over one connection to Kafka, which is opened on first use and again after a failure.

    Each `read` also updates `oldest_seconds`: for each consumer group, the minimum time that its oldest
    unread record has waited.
    """

    def __init__(self, settings: Kafka) -> None:
        enable_rebootstrap()
        raise_offset_fetch_errors()
        self._settings = settings
        self._opening: asyncio.Task[Connection] | None = None
        self._lock = asyncio.Lock()
        self._record_ages = RecordAges()
        self._lags: Lags = {}
        self._read_at = float("-inf")
        self.oldest_seconds: dict[str, float] = {}

    async def read(self, max_age_seconds: float = 0.0) -> Lags:
        """Return the number of unread records by group and topic. Raises `DependencyUnavailable`.

        If they were read less than `max_age_seconds` ago, returns these numbers again.
        """
        async with self._connection() as (admin, consumer):
            if time.monotonic() - self._read_at < max_age_seconds:
                return self._lags
            partitions = await self._list_partitions(admin)
            ends = await consumer.end_offsets([p for parts in partitions.values() for p in parts])
            committed: dict[str, Any] = {
                group: await admin.list_consumer_group_offsets(self._settings.topic_prefix + group)
                for group in topics.GROUPS.values()
            }
            starts = await consumer.beginning_offsets(list(ends))
        lags: Lags = {}
        for service, group in topics.GROUPS.items():
            consumed = [topic.name for topic in topics.ALL if service in topic.consumers]
            behind = {
                part: lag(_offset(committed[group].get(part)), starts[part], ends[part])
                for name in consumed
                for part in partitions[name]
            }
            lags[group] = {name: sum(behind[part] for part in partitions[name]) for name in consumed}
            now = time.monotonic()
            ages = [
                self._record_ages.seconds(
                    group, part, committed=ends[part] - records, end=ends[part], now=now
                )
                for part, records in behind.items()
            ]
            self.oldest_seconds[group] = max(ages, default=0.0)  # before provisioning there is no topic
        self._lags, self._read_at = lags, time.monotonic()
        return lags

    async def ping(self) -> None:
        """Raise `DependencyUnavailable` if no broker answers."""
        async with self._connection() as (admin, _):
            await admin.describe_cluster()

    async def aclose(self) -> None:
        """Close the connection. Waits up to `READ_TIMEOUT_SECONDS` for a connection that is still opening."""
        opening, self._opening = self._opening, None
        if opening:
            with contextlib.suppress(KafkaError, OSError, TimeoutError):
                await _close(*await asyncio.wait_for(opening, READ_TIMEOUT_SECONDS))

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[Connection]:
        try:
            async with asyncio.timeout(READ_TIMEOUT_SECONDS), self._lock:
                connection = await self._open_once()
                try:
                    yield connection
                except BaseException:
                    # The connection's state is unknown, also after a cancellation: open another next time.
                    await self.aclose()
                    raise
        except (KafkaError, OSError, TimeoutError, LookupError) as error:
            raise DependencyUnavailable("kafka", f"kafka does not answer ({type(error).__name__})") from error

    async def _open_once(self) -> Connection:
        # Shielded: aiokafka leaks the socket of a cancelled attempt. The attempt ends by its own timeout, and
        # concurrent readers wait for the same attempt.
        self._opening = self._opening or asyncio.create_task(self._open())
        try:
            return await asyncio.shield(self._opening)
        except (KafkaError, OSError, TimeoutError):
            self._opening = None
            raise

    async def _open(self) -> Connection:
        options = {
            "bootstrap_servers": self._settings.bootstrap_servers,
            "client_id": CLIENT_ID,
            "request_timeout_ms": int(READ_TIMEOUT_SECONDS * 1000),
            "metadata_max_age_ms": METADATA_MAX_AGE_MS,
            **parse_security(self._settings.security()),
        }
        admin = AIOKafkaAdminClient(**options)
        consumer = AIOKafkaConsumer(**options, enable_auto_commit=False)
        try:
            await admin.start()
            await consumer.start()
        except BaseException:
            await _close(admin, consumer)
            raise
        return admin, consumer

    async def _list_partitions(self, admin: AIOKafkaAdminClient) -> dict[str, list[TopicPartition]]:
        names = {
            self._settings.topic_prefix + topic.name: topic.name for topic in topics.ALL if topic.consumers
        }
        partitions = {}
        for described in await admin.describe_topics(list(names)):
            name = described["topic"]
            partitions[names[name]] = [
                TopicPartition(name, part["partition"]) for part in described["partitions"]
            ]
        return partitions


async def _close(admin: AIOKafkaAdminClient, consumer: AIOKafkaConsumer) -> None:
    for stop in (consumer.stop, admin.close):
        with contextlib.suppress(KafkaError, OSError, TimeoutError):
            await stop_within(stop(), CLOSE_TIMEOUT_SECONDS)


def _offset(committed: Any) -> int | None:
    # Kafka returns -1 if the group has committed nothing in the partition.
    return committed.offset if committed is not None and committed.offset >= 0 else None
