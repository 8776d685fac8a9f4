"""The persister in the process of the test, and what its ledger counts."""

import contextlib
from collections.abc import AsyncIterator
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition

from contracts import topics
from runtime.settings import Kafka, Postgres
from services.persister.app import create_app
from services.persister.settings import Settings

RECEIVED = topics.RECEIVED.name


@contextlib.asynccontextmanager
async def persister(kafka: Kafka, postgres: Postgres, **settings: Any) -> AsyncIterator[None]:
    """The whole service in this process: its lifespan, without its socket."""
    app = create_app(Settings(kafka=kafka, postgres=postgres, **settings))
    async with app.router.lifespan_context(app):
        yield


async def count_records(db: Any) -> int:
    """Return how many records the ledger has counted."""
    return int(await db.fetchval("SELECT coalesce(sum(next_offset - base_offset), 0) FROM partition_ledger"))


async def ledger_sums(db: Any) -> dict[str, int]:
    """Return the sums of the ledger over all partitions. That of canaries is left out if there are none."""
    row = await db.fetchrow(
        "SELECT sum(stored) stored, sum(duplicate) duplicate, sum(parked) parked,"
        " sum(undecodable) undecodable, sum(missing) missing, sum(canary) canary FROM partition_ledger"
    )
    return {name: int(value) for name, value in row.items() if value or name != "canary"}


async def reset_offsets(kafka: Kafka) -> None:
    """Commit offset 0, so that all records are delivered again."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=kafka.bootstrap_servers,
        group_id=kafka.topic_prefix + topics.GROUPS["persister"],
        enable_auto_commit=False,
    )
    await consumer.start()
    partitions = [TopicPartition(kafka.topic_prefix + RECEIVED, n) for n in range(topics.PARTITIONS)]
    consumer.assign(partitions)
    await consumer.commit(dict.fromkeys(partitions, 0))
    await consumer.stop()
