"""Kafka, both ways: the FastStream broker that holds the consumers, and a publisher that heals itself."""

import asyncio
import contextlib
import ssl
import time
import zlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.conn import create_conn
from aiokafka.errors import (
    IllegalSaslStateError,
    KafkaError,
    MessageSizeTooLargeError,
    RecordTooLargeError,
    SaslAuthenticationFailed,
    UnsupportedSaslMechanismError,
)
from aiokafka.structs import RecordMetadata
from faststream.kafka import KafkaBroker
from faststream.kafka.security import parse_security

from contracts.headers import Headers
from runtime.failures import Backoff, DependencyUnavailable, PermanentError
from runtime.health import Health
from runtime.logs import logger
from runtime.settings import Kafka
from runtime.tasks import run_in_background
from runtime.workarounds.aiokafka_headers import tolerate_any_header
from runtime.workarounds.aiokafka_rebootstrap import (
    METADATA_MAX_AGE_MS,
    SILENCE_SECONDS,
    ask_brokers,
    enable_rebootstrap,
    silent_seconds,
)

START_SECONDS = 10.0
STOP_SECONDS = 3.0
LOOK_SECONDS = 5.0
# A send that failed speaks against Kafka for so long, unless a later one succeeds. Whoever has something to
# send tries again every 10 s at least.
FAILED_SECONDS = 30.0
NO_ANSWER = "kafka does not answer"
MAX_REQUEST_BYTES = 4 * 1024 * 1024


def build_broker(
    settings: Kafka, client_id: str, metadata_max_age_ms: int = METADATA_MAX_AGE_MS
) -> KafkaBroker:
    """Build the broker whose subscribers we read with `runtime.kafka.consumer`.

    `consumer_only`: its producer has no bound on a publish and cannot be re-created; ours has and can.
    """
    tolerate_any_header()
    enable_rebootstrap()
    return KafkaBroker(
        settings.bootstrap_servers.split(","),
        client_id=client_id,
        security=settings.security(),
        consumer_only=True,
        metadata_max_age_ms=metadata_max_age_ms,
        allow_auto_create_topics=False,
        logger=None,
    )


async def diagnose_connection(settings: Kafka) -> str:
    """Say in our own words why Kafka cannot be connected: aiokafka's error only says that it cannot.

    The first server that says more than that it is not there decides.
    """
    servers = settings.bootstrap_servers.split(",")
    reasons = await asyncio.gather(*(_diagnose_server(server.strip(), settings) for server in servers))
    return next((reason for reason in reasons if reason != NO_ANSWER), NO_ANSWER)


async def _diagnose_server(server: str, settings: Kafka) -> str:
    host, _, port = server.rpartition(":")
    options = parse_security(settings.security())
    try:
        connection = await asyncio.wait_for(create_conn(host, int(port), **options), START_SECONDS)
    except (SaslAuthenticationFailed, IllegalSaslStateError, UnsupportedSaslMechanismError):
        return "kafka refused our login"
    except ssl.SSLCertVerificationError:
        return "kafka's certificate is not from our authority, or for another name"
    except (KafkaError, OSError, TimeoutError, ValueError):
        return NO_ANSWER
    connection.close()
    return "kafka answers, but no broker of the cluster does"


class Publisher:
    """An idempotent producer that waits for every in-sync replica and is re-created when it cannot go on.

    After an out-of-order sequence, a lost producer id or a dead sender, an aiokafka producer fails
    for ever (aiokafka #1017): any indefinite error makes us close it and open another. So does a minute
    in which no broker answered.
    """

    def __init__(self, settings: Kafka, client_id: str, silence_seconds: float = SILENCE_SECONDS) -> None:
        enable_rebootstrap()
        self._settings = settings
        self._client_id = client_id
        self._silence_seconds = silence_seconds
        self._producer: AIOKafkaProducer | None = None
        self._reason = "connecting"  # why there is no producer
        self._failed_at = -FAILED_SECONDS  # monotonic; forgotten when a later send succeeds
        self._failure = ""
        self._ready = asyncio.Event()
        self._broken = asyncio.Event()
        self._log = logger("publisher")

    @property
    def connected(self) -> bool:
        """Return True where a send can be tried at once."""
        return self._ready.is_set()

    async def send(
        self, topic: str, *, key: bytes | None, value: bytes | None, headers: Headers, seconds: float
    ) -> RecordMetadata:
        """Publish one record to a topic (named without the prefix) and wait for `acks=all`.

        `seconds` bounds all of it.

        Raises `DependencyUnavailable` if no answer came in time (the record may still arrive later:
        whoever reads it must bear a repeat), `PermanentError` where the broker will never take it.
        """
        try:
            metadata = await self._send(topic, key, value, headers, seconds)
        except DependencyUnavailable as away:
            self._failed_at, self._failure = time.monotonic(), away.reason
            raise
        self._failed_at = -FAILED_SECONDS
        return metadata

    async def check(self) -> None:
        """Return if records can be published now. Raises `DependencyUnavailable`."""
        if self._producer is None:
            raise DependencyUnavailable("kafka", self._reason)
        if time.monotonic() - self._failed_at < FAILED_SECONDS:
            raise DependencyUnavailable("kafka", self._failure)
        await ask_brokers(self._producer.client)

    async def _send(
        self, topic: str, key: bytes | None, value: bytes | None, headers: Headers, seconds: float
    ) -> RecordMetadata:
        if key is None and value is None:
            key = b""  # aiokafka asks for one of the two; a null value stays null
        producer: AIOKafkaProducer | None = None
        try:
            async with asyncio.timeout(seconds):
                await self._ready.wait()
                producer = self._producer
                if producer is None:
                    raise DependencyUnavailable("kafka", "kafka connection lost")
                delivery = await producer.send(
                    self._settings.topic_prefix + topic, value=value, key=key, headers=headers
                )
                # A deadline cancels it, which does not stop the delivery: only its answer is lost.
                metadata: RecordMetadata = await delivery
                return metadata
        except TimeoutError as error:
            raise DependencyUnavailable("kafka", "kafka did not acknowledge in time") from error
        except (MessageSizeTooLargeError, RecordTooLargeError) as error:
            raise PermanentError("record too large for the topic") from error
        except KafkaError as error:
            self._break(producer, error)
            raise DependencyUnavailable("kafka", f"kafka answered {type(error).__name__}") from error

    def _break(self, producer: AIOKafkaProducer | None, error: Exception) -> None:
        if producer is not self._producer:
            return  # a late answer of the one before: this one is well
        self._ready.clear()
        self._broken.set()
        self._reason = f"kafka answered {type(error).__name__}"

    async def run(self) -> None:
        """Open the producer, and open another each time it breaks, until cancelled."""
        backoff, attempt = Backoff(), 0
        while True:
            self._broken.clear()
            producer = AIOKafkaProducer(**self._options())
            try:
                await asyncio.wait_for(producer.start(), START_SECONDS)
            except (KafkaError, OSError, TimeoutError) as error:
                self._reason = await diagnose_connection(self._settings)
                self._log.warning("producer not connected", reason=self._reason, error=type(error).__name__)
                await _close(producer)
                await asyncio.sleep(backoff.seconds(attempt))
                attempt += 1
                continue
            except asyncio.CancelledError:
                await _close(producer)  # a start that is cut off leaves its connections open
                raise
            try:
                attempt, self._producer = 0, producer
                self._ready.set()
                await self._until_broken(producer)
                self._log.warning("producer broken, opening another", reason=self._reason)
            finally:
                self._ready.clear()
                self._producer = None
                await _close(producer)
            await asyncio.sleep(backoff.seconds(0))

    async def _until_broken(self, producer: AIOKafkaProducer) -> None:
        """Return when the producer has failed, or when no broker has answered it for too long."""
        pause = min(LOOK_SECONDS, self._silence_seconds / 4)
        while not self._broken.is_set():
            if silent_seconds(producer.client) > self._silence_seconds:
                self._reason = NO_ANSWER
                return
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._broken.wait(), pause)

    def _options(self) -> dict[str, Any]:
        return {
            "bootstrap_servers": self._settings.bootstrap_servers,
            "client_id": self._client_id,
            "acks": "all",
            "enable_idempotence": True,
            "linger_ms": 2,
            "partitioner": _partition_of,
            # One batch per partition is in flight at a time: small ones would cap the rate.
            "max_batch_size": 262_144,
            "max_request_size": MAX_REQUEST_BYTES,
            "request_timeout_ms": 10_000,
            "metadata_max_age_ms": min(METADATA_MAX_AGE_MS, int(self._silence_seconds * 500)),
            **parse_security(self._settings.security()),
        }


def _partition_of(key: bytes | None, partitions: Sequence[int], _: Sequence[int]) -> int:
    # By CRC-32, as librdkafka does it: aiokafka's own murmur2 is Python, 7 us for each lead.
    return partitions[zlib.crc32(key or b"") % len(partitions)]


async def _close(producer: AIOKafkaProducer) -> None:
    # With the broker away an idempotent producer's stop() waits for ever: its batches never expire.
    with contextlib.suppress(KafkaError, OSError, TimeoutError):
        await asyncio.wait_for(producer.stop(), STOP_SECONDS)


@asynccontextmanager
async def open_publisher(settings: Kafka, client_id: str, health: Health) -> AsyncIterator[Publisher]:
    """Keep a publisher open in the background for as long as the context lasts."""
    publisher = Publisher(settings, client_id)
    health.check("kafka_producer", publisher.check)
    async with run_in_background(publisher.run(), "publisher"):
        yield publisher
