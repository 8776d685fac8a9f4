"""Publishes records with an idempotent aiokafka producer that is replaced when it breaks."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Final, TypeAlias

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, MessageSizeTooLargeError, RecordTooLargeError
from aiokafka.structs import RecordMetadata
from faststream.kafka.security import parse_security

from contracts.headers import Headers
from contracts.reasons import Reason
from runtime.failures import Backoff, DependencyUnavailable, PermanentError
from runtime.health import Health
from runtime.kafka.batch_append import append_to_batch
from runtime.kafka.broker import (
    METADATA_MAX_AGE_MS,
    NO_ANSWER,
    SILENCE_SECONDS,
    check_brokers,
    diagnose_connection,
)
from runtime.logs import logger
from runtime.settings import Kafka
from runtime.tasks import run_in_background, seconds_to_next
from runtime.workarounds.aiokafka import stop_within
from runtime.workarounds.aiokafka_metadata import enable_rebootstrap, seconds_since_answer

START_SECONDS: Final = 10.0
STOP_SECONDS: Final = 3.0
CHECK_SECONDS: Final = 5.0
# A failed send makes the health check fail for this time, unless a later send succeeds. A caller that has
# something to send retries at least every 10 s.
FAILED_SECONDS = 30.0
MAX_REQUEST_BYTES: Final = 4 * 1024 * 1024


class Publisher:
    """An idempotent producer that waits for every in-sync replica and is replaced when it breaks.

    An aiokafka producer fails forever after an out-of-order sequence, a lost producer id or a dead sender
    task (aiokafka #1017). So it is replaced after an error that does not show whether the record was written.
    It is also replaced after a minute in which no broker answered.
    """

    def __init__(self, settings: Kafka, client_id: str, silence_seconds: float = SILENCE_SECONDS) -> None:
        enable_rebootstrap()
        self._settings = settings
        self._client_id = client_id
        self._silence_seconds = silence_seconds
        self._producer: AIOKafkaProducer | None = None
        self._reason = "connecting"  # why there is no producer
        self._failed_at = -FAILED_SECONDS  # monotonic; reset when a later send succeeds
        self._failure = ""
        self._ready = asyncio.Event()
        self._broken = asyncio.Event()
        self._log = logger("publisher")

    @property
    def connected(self) -> bool:
        """Return True if a send can be tried at once."""
        return self._ready.is_set()

    async def send(
        self, topic: str, *, key: bytes | None, value: bytes | None, headers: Headers, seconds: float
    ) -> RecordMetadata:
        """Publish one record and return its metadata once all in-sync replicas have it (`acks=all`).

        `topic` is named without the topic prefix. The call takes at most `seconds`.

        Raises `DependencyUnavailable` if no acknowledgement arrives in time. The record may still be written
        later, so its consumers must tolerate a duplicate. Raises `PermanentError` if the broker will never
        accept the record.
        """
        try:
            metadata = await self._send(topic, key, value, headers, seconds)
        except DependencyUnavailable as error:
            self._failed_at, self._failure = time.monotonic(), error.reason
            raise
        self._failed_at = -FAILED_SECONDS
        return metadata

    async def check(self) -> None:
        """Raise `DependencyUnavailable` unless records can be published now."""
        if self._producer is None:
            raise DependencyUnavailable("kafka", self._reason)
        if time.monotonic() - self._failed_at < FAILED_SECONDS:
            raise DependencyUnavailable("kafka", self._failure)
        await check_brokers(self._producer.client)

    async def _send(
        self, topic: str, key: bytes | None, value: bytes | None, headers: Headers, seconds: float
    ) -> RecordMetadata:
        if key is None and value is None:
            key = b""  # aiokafka requires one of the two; a null value stays null
        topic = self._settings.topic_prefix + topic
        producer = self._producer if self._ready.is_set() else None  # a broken one is still there for a while
        try:
            delivery = append_to_batch(producer, topic, key, value, headers) if producer else None
            if delivery is not None:
                return await _wait_at_most(seconds, delivery)
            async with asyncio.timeout(seconds):
                await self._ready.wait()
                producer = self._producer
                if producer is None:
                    raise DependencyUnavailable("kafka", "kafka connection lost")
                # The timeout cancels this wait, not the delivery: only the acknowledgement is lost.
                return await (await producer.send(topic, value=value, key=key, headers=headers))
        except TimeoutError as error:
            raise DependencyUnavailable("kafka", "kafka did not acknowledge in time") from error
        except (MessageSizeTooLargeError, RecordTooLargeError) as error:
            raise PermanentError(Reason.RECORD_TOO_LARGE) from error
        except KafkaError as error:
            self._replace_producer(producer, error)
            raise DependencyUnavailable("kafka", f"kafka answered {type(error).__name__}") from error

    def _replace_producer(self, producer: AIOKafkaProducer | None, error: Exception) -> None:
        if producer is not self._producer:
            return  # a late error of the previous producer; the current one works
        self._ready.clear()
        self._broken.set()
        self._reason = f"kafka answered {type(error).__name__}"

    async def run(self) -> None:
        """Keep a producer open, and replace it each time it breaks, until cancelled."""
        backoff, attempt = Backoff(), 0
        while True:
            self._broken.clear()
            producer = AIOKafkaProducer(**self._producer_options())
            try:
                await asyncio.wait_for(producer.start(), START_SECONDS)
            except (KafkaError, OSError, TimeoutError) as error:
                self._reason = await diagnose_connection(self._settings)
                self._log.warning("producer not connected", reason=self._reason, error=type(error).__name__)
                await _close_producer(producer)
                await asyncio.sleep(backoff.seconds(attempt))
                attempt += 1
                continue
            except asyncio.CancelledError:
                await _close_producer(producer)  # a start that is cancelled leaves its connections open
                raise
            try:
                attempt, self._producer = 0, producer
                self._ready.set()
                await self._wait_until_broken(producer)
                self._log.warning("producer broken, opening another", reason=self._reason)
            finally:
                self._ready.clear()
                self._producer = None
                await _close_producer(producer)
            await asyncio.sleep(backoff.seconds(0))

    async def _wait_until_broken(self, producer: AIOKafkaProducer) -> None:
        """Return when the producer has failed, or when no broker has answered it for too long."""
        pause = min(CHECK_SECONDS, self._silence_seconds / 4)
        while not self._broken.is_set():
            if seconds_since_answer(producer.client) > self._silence_seconds:
                self._reason = NO_ANSWER
                return
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._broken.wait(), seconds_to_next(pause))

    def _producer_options(self) -> dict[str, Any]:
        return {
            "bootstrap_servers": self._settings.bootstrap_servers,
            "client_id": self._client_id,
            "acks": "all",
            "enable_idempotence": True,
            "linger_ms": 2,
            # One batch per partition is in flight at a time: small batches would limit the rate.
            "max_batch_size": 262_144,
            "max_request_size": MAX_REQUEST_BYTES,
            "request_timeout_ms": 10_000,
            "metadata_max_age_ms": min(METADATA_MAX_AGE_MS, int(self._silence_seconds * 500)),
            **parse_security(self._settings.security()),
        }


async def _wait_at_most(seconds: float, delivery: asyncio.Future[RecordMetadata]) -> RecordMetadata:
    """Return a record's metadata. Raises `TimeoutError` after `seconds`; the record may still be written.

    It is `asyncio.timeout` for one future, at a fifth of its cost. aiokafka skips a future that is done.
    """
    timer = delivery.get_loop().call_later(seconds, _expire, delivery)
    try:
        return await delivery
    finally:
        timer.cancel()


def _expire(delivery: asyncio.Future[RecordMetadata]) -> None:
    if not delivery.done():
        delivery.set_exception(TimeoutError())


async def _close_producer(producer: AIOKafkaProducer) -> None:
    # While Kafka is unavailable an idempotent producer's stop() never returns: its batches never expire.
    with contextlib.suppress(KafkaError, OSError, TimeoutError):
        await stop_within(producer.stop(), STOP_SECONDS)


OpenPublisher: TypeAlias = Callable[[Kafka, str, Health], AbstractAsyncContextManager[Publisher]]
"""Opens a publisher with these settings and this client id, and adds its health check."""


@asynccontextmanager
async def open_publisher(settings: Kafka, client_id: str, health: Health) -> AsyncIterator[Publisher]:
    """Run a publisher in the background while the context lasts, and add its health check."""
    async with run_publisher(settings, client_id) as publisher:
        add_check(health, publisher)
        yield publisher


@asynccontextmanager
async def run_publisher(settings: Kafka, client_id: str) -> AsyncIterator[Publisher]:
    """Run a publisher in the background while the context lasts."""
    publisher = Publisher(settings, client_id)
    async with run_in_background(publisher.run(), "publisher"):
        yield publisher


def add_check(health: Health, publisher: Publisher) -> None:
    """Add the publisher's health check as the part `kafka_producer`."""
    health.check("kafka_producer", publisher.check)
