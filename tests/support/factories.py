"""Factories: a lead, its record in Kafka, and a plain producer."""

import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from contracts import topics
from contracts.leads import LeadReceived
from runtime.settings import Kafka


def lead(**changes: Any) -> LeadReceived:
    """Return a valid lead with unique ids."""
    fields: dict[str, Any] = {
        "event_id": uuid4(),
        "occurred_at": datetime.now(UTC),
        "lead_id": uuid4(),
        "request_id": uuid4().hex,
        "site": "default",
        "body_sha256": hashlib.sha256(uuid4().bytes).hexdigest(),
        "name": "Ada Lovelace",
        "email": f"ada-{uuid4().hex[:8]}@example.com",
        "service": "Web design",
        "message": "Please call me about a new site.",
    }
    return LeadReceived.model_validate(fields | changes)


@asynccontextmanager
async def producer(kafka: Kafka) -> AsyncIterator[AIOKafkaProducer]:
    """A plain producer, which can write any record."""
    made = AIOKafkaProducer(bootstrap_servers=kafka.bootstrap_servers, acks="all", max_request_size=4 << 20)
    await made.start()
    try:
        yield made
    finally:
        await made.stop()


async def post(kafka: Kafka, *leads: LeadReceived, topic: str = topics.RECEIVED.name) -> None:
    """Publish leads as the gateway does: keyed by their id, as JSON."""
    async with producer(kafka) as sender:
        for each in leads:
            await sender.send(
                kafka.topic_prefix + topic,
                key=str(each.lead_id).encode(),
                value=each.model_dump_json().encode(),
                headers=[("content-type", b"application/json"), ("correlation_id", b"test")],
            )


async def records_of(kafka: Kafka, topic: str) -> list[Any]:
    """Return all records of a topic in the order of partition and offset."""
    consumer = AIOKafkaConsumer(bootstrap_servers=kafka.bootstrap_servers, enable_auto_commit=False)
    await consumer.start()
    try:
        name = kafka.topic_prefix + topic
        partitions = [TopicPartition(name, number) for number in range(topics.PARTITIONS)]
        consumer.assign(partitions)
        await consumer.seek_to_beginning()
        ends = await consumer.end_offsets(partitions)
        found: list[Any] = []
        for partition in partitions:
            while await consumer.position(partition) < ends[partition]:
                got = await consumer.getmany(partition, timeout_ms=1000)
                found += [record for part in got.values() for record in part]
        return sorted(found, key=lambda record: (record.partition, record.offset))
    finally:
        await consumer.stop()
