"""The topics' settings on a real broker."""

import time

import pytest
from aiokafka import AIOKafkaProducer

from contracts import topics
from runtime.settings import Kafka
from tests.support.factories import records_of

HOUR_MS = 60 * 60 * 1000


@pytest.mark.parametrize("hours", [2, -24 * 365])
async def test_regression_record_with_wrong_timestamp_is_retained(kafka: Kafka, hours: int) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=kafka.bootstrap_servers, acks="all")
    await producer.start()
    try:
        now = round(time.time() * 1000)
        await producer.send_and_wait(
            kafka.topic_prefix + topics.RECEIVED.name, b"lead", timestamp_ms=now + hours * HOUR_MS
        )
    finally:
        await producer.stop()
    (record,) = await records_of(kafka, topics.RECEIVED.name)
    assert abs(record.timestamp - now) < HOUR_MS  # the broker's: its retention does not count the year
