"""A backlog of leads in Kafka, as the gateway writes them, that can be read repeatedly."""

import contextlib
import random
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

import asyncpg
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from uuid_utils.compat import uuid7

from contracts import topics
from contracts.lead_record import LeadRecord, body_sha256, build_record
from contracts.leads import EXAMPLE, LeadSubmission
from deploy.embedded.processes.readiness import Alive, always_alive
from runtime.settings import Kafka
from tests.bench.environment import BenchEnvironment, program, started_together
from tests.support.stack import Database
from tests.support.wait import eventually

FIRST: Final = ("Ada", "Grace", "Alan", "Barbara", "Margaret", "Tony", "Frances", "Radia", "Ken", "Sophie")
LAST: Final = ("Lovelace", "Hopper", "Turing", "Liskov", "Hamilton", "Hoare", "Allen", "Perlman", "Backus")
WORDS: Final = str(EXAMPLE["message"]).split()
# A timeout, so that a service that hangs does not block the benchmark.
PATIENCE_SECONDS: Final = 300


def made(count: int, seed: int = 1) -> list[LeadRecord]:
    """Return this many lead records with messages of 5 to 120 words, made by the code of the gateway."""
    draw = random.Random(seed)
    return [_made(number, draw) for number in range(count)]


def _made(number: int, draw: random.Random) -> LeadRecord:
    name = f"{draw.choice(FIRST)} {draw.choice(LAST)}"
    fields = EXAMPLE | {
        "name": name,
        "email": f"{name.replace(' ', '.').lower()}.{number}@example.com",
        "message": " ".join(draw.choices(WORDS, k=draw.randint(5, 120))),
    }
    submission, lead_id = LeadSubmission.model_validate(fields), uuid7()
    return build_record(
        submission,
        lead_id=lead_id,
        request_id=str(lead_id),
        site="default",
        default_service="",
        digest=body_sha256(submission),
        now=datetime.now(UTC),
        spam_reasons=(),
        correlation_id=lead_id.hex,
        traceparent=None,
    )


async def publish(kafka: Kafka, topic: str, records: Iterable[tuple[bytes, bytes, Any]]) -> None:
    """Publish the records as fast as possible; return when all are acknowledged."""
    async with AIOKafkaProducer(
        bootstrap_servers=kafka.bootstrap_servers,
        acks="all",
        linger_ms=5,
        max_batch_size=262_144,
        max_request_size=4 << 20,
    ) as producer:
        for key, value, headers in records:
            await producer.send(topic, key=key, value=value, headers=headers)
        await producer.flush()


@dataclass
class Backlog:
    """Topics of this benchmark that hold these leads."""

    bench: BenchEnvironment
    kafka: Kafka
    records: list[LeadRecord] = field(repr=False)

    async def rewind(self) -> None:
        """Reset the offsets of the persister's group, which has no members now."""
        topic = self.kafka.topic_prefix + topics.RECEIVED.name
        partitions = [TopicPartition(topic, number) for number in range(topics.PARTITIONS)]
        async with AIOKafkaConsumer(
            bootstrap_servers=self.kafka.bootstrap_servers,
            group_id=self.kafka.topic_prefix + topics.GROUPS["persister"],
            enable_auto_commit=False,
        ) as consumer:
            consumer.assign(partitions)
            await consumer.commit(dict.fromkeys(partitions, 0))

    async def enveloped(self, envelope: Callable[[bytes], bytes]) -> str:
        """Publish the same leads to another topic in another format; return the topic, which remains."""
        topic = self.kafka.topic_prefix + "enveloped"
        admin = AIOKafkaAdminClient(bootstrap_servers=self.kafka.bootstrap_servers)
        await admin.start()
        try:
            await admin.create_topics([NewTopic(topic, topics.PARTITIONS, 1)])
        finally:
            await admin.close()
        await publish(self.kafka, topic, ((r.key, envelope(r.value), []) for r in self.records))
        return topic

    async def drained(self, **environment: str) -> float:
        """Let one persister store all leads in a new database; return leads per second."""
        await self.rewind()
        async with persisters(self.bench, self.kafka, environment=environment) as database:
            return await rate_of(database, STORED, len(self.records))


@contextlib.asynccontextmanager
async def persisters(
    bench: BenchEnvironment, kafka: Kafka, count: int = 1, environment: Mapping[str, str] | None = None
) -> AsyncIterator[Database]:
    """Run this many persisters on a new database while the block lasts. All have joined when it begins."""
    database = await bench.stack.new_database()
    variables = {
        "DATABASE_URL": database.service,
        "KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
        "KAFKA_TOPIC_PREFIX": kafka.topic_prefix,
        **(environment or {}),
    }
    try:
        async with started_together(*(program(bench, "persister", variables) for _ in range(count))):
            yield database
    finally:
        await bench.stack.drop_database(database)


STORED: Final = "SELECT coalesce(sum(next_offset - base_offset), 0)::bigint FROM partition_ledger"


async def rate_of(database: Database, counting: str, count: int, alive: Alive = always_alive) -> float:
    """Poll an inexpensive row count until all rows exist; return rows per second."""
    connection = await asyncpg.connect(database.owner)

    async def look() -> int:
        if not alive():
            raise RuntimeError("what should write rows has ended")
        return int(await connection.fetchval(counting))

    try:
        first = await eventually(look, seconds=PATIENCE_SECONDS, every=0.01, what="the first row")
        began = time.perf_counter()
        await eventually(
            look, until=lambda rows: rows >= count, seconds=PATIENCE_SECONDS, every=0.02, what="the last row"
        )
        return (count - first) / (time.perf_counter() - began)
    finally:
        await connection.close()


@contextlib.asynccontextmanager
async def backlog(bench: BenchEnvironment, count: int) -> AsyncIterator[Backlog]:
    """Publish this many leads to new topics, which are deleted at the end."""
    kafka = await bench.stack.new_topics()
    bench.say(f"{count:,} leads into Kafka")
    waiting = Backlog(bench, kafka, made(count))
    try:
        await post(kafka, waiting.records)
        yield waiting
    finally:
        await bench.stack.drop_topics(kafka)


async def post(kafka: Kafka, records: Iterable[LeadRecord]) -> None:
    """Publish leads to the topic of the gateway."""
    topic = kafka.topic_prefix + topics.RECEIVED.name
    await publish(kafka, topic, ((each.key, each.value, each.headers) for each in records))
