"""Reads from Kafka how far each consumer group is behind. Publishes nothing; every wait is bounded."""

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
from runtime.kafka.lag import lag
from runtime.settings import Kafka
from runtime.workarounds.aiokafka_rebootstrap import METADATA_MAX_AGE_MS, enable_rebootstrap
from services.admin.monitoring.record_age import Waiting

# A page waits for this: longer than a healthy broker ever needs, shorter than a reader's patience.
READ_SECONDS: Final = 3.0
CLOSE_SECONDS: Final = 2.0
CLIENT_ID: Final = "fastcore-admin"

Connection: TypeAlias = tuple[AIOKafkaAdminClient, AIOKafkaConsumer]
Lags: TypeAlias = dict[str, dict[str, int]]


class LagReader:
    """One connection to Kafka, opened when it is first needed and again after each failure."""

    def __init__(self, settings: Kafka) -> None:
        enable_rebootstrap()
        self._settings = settings
        self._opening: asyncio.Task[Connection] | None = None
        self._lock = asyncio.Lock()
        self._waiting = Waiting()
        self.oldest_seconds: dict[str, float] = {}

    async def read(self) -> Lags:
        """Return each group's lag by topic: end minus committed offsets. Raises `DependencyUnavailable`."""
        async with self._connection() as (admin, consumer):
            partitions = await self._partitions(admin)
            ends = await consumer.end_offsets([p for parts in partitions.values() for p in parts])
            committed: dict[str, Any] = {
                group: await admin.list_consumer_group_offsets(self._settings.topic_prefix + group)
                for group in topics.GROUPS.values()
            }
            starts = await consumer.beginning_offsets(list(ends))
        lags: Lags = {}
        for service, group in topics.GROUPS.items():
            taken = [topic.name for topic in topics.ALL if service in topic.consumers]
            behind = {
                part: lag(_offset(committed[group].get(part)), starts[part], ends[part])
                for name in taken
                for part in partitions[name]
            }
            lags[group] = {name: sum(behind[part] for part in partitions[name]) for name in taken}
            now = time.monotonic()
            waits = [
                self._waiting.seconds(group, part, committed=ends[part] - records, end=ends[part], now=now)
                for part, records in behind.items()
            ]
            self.oldest_seconds[group] = max(waits, default=0.0)  # no topic is there before provisioning
        return lags

    async def ping(self) -> None:
        """Return where a broker answers. Raises `DependencyUnavailable`."""
        async with self._connection() as (admin, _):
            await admin.describe_cluster()

    async def aclose(self) -> None:
        """Close the connection, bounded; one that is being opened is waited for."""
        opening, self._opening = self._opening, None
        if opening:
            with contextlib.suppress(KafkaError, OSError, TimeoutError):
                await _close(*await asyncio.wait_for(opening, READ_SECONDS))

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[Connection]:
        try:
            async with asyncio.timeout(READ_SECONDS), self._lock:
                opened = await self._opened()
                try:
                    yield opened
                except BaseException:
                    # Whatever state it is in now, also when cancelled: the next reader opens another.
                    await self.aclose()
                    raise
        except (KafkaError, OSError, TimeoutError, LookupError) as error:
            raise DependencyUnavailable("kafka", f"kafka does not answer ({type(error).__name__})") from error

    async def _opened(self) -> Connection:
        # Shielded: aiokafka loses the socket of an attempt that is cancelled. Its own timeout ends it,
        # and who reads meanwhile waits for the same attempt.
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
            "request_timeout_ms": int(READ_SECONDS * 1000),
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

    async def _partitions(self, admin: AIOKafkaAdminClient) -> dict[str, list[TopicPartition]]:
        names = {
            self._settings.topic_prefix + topic.name: topic.name for topic in topics.ALL if topic.consumers
        }
        found = {}
        for described in await admin.describe_topics(list(names)):
            name = described["topic"]
            found[names[name]] = [TopicPartition(name, part["partition"]) for part in described["partitions"]]
        return found


async def _close(admin: AIOKafkaAdminClient, consumer: AIOKafkaConsumer) -> None:
    for stop in (consumer.stop, admin.close):
        with contextlib.suppress(KafkaError, OSError, TimeoutError):
            await asyncio.wait_for(stop(), CLOSE_SECONDS)


def _offset(committed: Any) -> int | None:
    # Kafka answers -1 for a partition in which the group has committed nothing.
    return committed.offset if committed is not None and committed.offset >= 0 else None
