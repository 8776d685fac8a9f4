"""`python -m deploy.cli.ledger`: compare Kafka with PostgreSQL, and name what PostgreSQL lacks.

The command also reads one snapshot of the database, and shows whether the ledger's counts match the rows of
the tables (ARCHITECTURE.md, "The books"). It can run while the services run. It connects with their database
role, and writes nothing.
"""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import typer
from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError
from faststream.kafka.security import parse_security
from rich.console import Console
from rich.table import Table

from contracts import headers, topics
from contracts.canary import canary_of
from contracts.leads import LeadReceived
from runtime import event_loop
from runtime.database.postgres import Pool, load_queries, open_pool, transaction
from runtime.failures import Failure
from runtime.kafka.log_reader import assign_all_partitions
from runtime.kafka.positions import lag
from runtime.settings import Kafka, Postgres, load
from services.admin.monitoring.queue_counts import count_queue, find_wrong_counts

SQL: Any = load_queries(Path(__file__).with_name("ledger.sql"))
CHUNK: Final = 1000
NAMED_AT_MOST: Final = 20
READ_SECONDS: Final = 30.0


@dataclass
class Comparison:
    """The result of one comparison with the database. `missing` lists what the database lacks."""

    what: str
    compared: int = 0
    waiting: int = 0
    """Records that the group has not committed yet. They are lag, not loss."""
    missing: list[str] = field(default_factory=list)


@asynccontextmanager
async def _open_consumer(kafka: Kafka, group: str) -> AsyncIterator[Any]:
    """Open a consumer that can read the group's committed offsets.

    The consumer never joins the group, and never commits an offset.
    """
    consumer = AIOKafkaConsumer(
        bootstrap_servers=kafka.bootstrap_servers,
        group_id=kafka.topic_prefix + group,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        **parse_security(kafka.security()),
    )
    await asyncio.wait_for(consumer.start(), READ_SECONDS)
    try:
        yield consumer
    finally:
        await asyncio.wait_for(consumer.stop(), READ_SECONDS)


async def _read_committed(consumer: Any, topic: str, comparison: Comparison) -> AsyncIterator[list[Any]]:
    """Yield the records that the topic still holds and that the group has committed, in chunks.

    Counts these records in `comparison.compared`, and the records after them in `comparison.waiting`.
    """
    partitions = await assign_all_partitions(consumer, topic)
    ends = await consumer.end_offsets(partitions)
    starts = await consumer.beginning_offsets(partitions)
    for partition in partitions:
        committed = max(starts[partition], await consumer.committed(partition) or 0)
        comparison.waiting += lag(committed, starts[partition], ends[partition])
        next_offset = starts[partition]
        consumer.seek(partition, next_offset)
        while next_offset < committed:
            async with asyncio.timeout(READ_SECONDS):
                batches = await consumer.getmany(partition, timeout_ms=1000, max_records=CHUNK)
            records = [record for batch in batches.values() for record in batch if record.offset < committed]
            if records:
                next_offset = records[-1].offset + 1
                comparison.compared += len(records)
                yield records
            elif batches:
                break


async def compare_leads(kafka: Kafka, pool: Pool) -> Comparison:
    """List the records of `leads.received.v1` that the database lacks.

    A record is present if `lead_inbox` has its lead id, or `replay_queue` has its partition and offset. No
    table has the lead of a canary.
    """
    topic = kafka.topic_prefix + topics.RECEIVED.name
    comparison = Comparison(f"leads of {topic} in lead_inbox or replay_queue")
    async with _open_consumer(kafka, topics.GROUPS["persister"]) as consumer:
        async for records in _read_committed(consumer, topic, comparison):
            offsets = {
                (record.partition, record.offset): _lead_id(record)
                for record in records
                if not canary_of(record.headers)  # no table has its lead
            }
            async with transaction(pool) as connection:
                ids = [lead_id for lead_id in offsets.values() if lead_id]
                known = {row["id"] async for row in SQL.known_leads(connection, ids=ids)}
                unknown = {key: lead_id for key, lead_id in offsets.items() if lead_id not in known}
                queued = {
                    (row["origin_partition"], row["origin_offset"])
                    async for row in SQL.known_origins(
                        connection,
                        topic=topic,
                        partitions=[partition for partition, _ in unknown],
                        offsets=[offset for _, offset in unknown],
                    )
                }
            comparison.missing += [
                f"{lead_id or 'undecodable'} (partition {partition}, offset {offset})"
                for (partition, offset), lead_id in unknown.items()
                if (partition, offset) not in queued
            ]
    return comparison


async def compare_failures(kafka: Kafka, pool: Pool) -> Comparison:
    """List the failures of `leads.failed.v1` whose event id is not in the audit log."""
    topic = kafka.topic_prefix + topics.FAILED.name
    comparison = Comparison(f"failures of {topic} in audit_log")
    async with _open_consumer(kafka, topics.GROUPS["flusher"]) as consumer:
        async for records in _read_committed(consumer, topic, comparison):
            events = {event: record for record in records if (event := _event_id(record))}
            async with transaction(pool) as connection:
                known = {row["event_id"] async for row in SQL.known_events(connection, ids=list(events))}
            comparison.missing += [
                f"{event} (partition {record.partition}, offset {record.offset})"
                for event, record in events.items()
                if event not in known
            ]
    return comparison


async def compare_mails(pool: Pool, waiting: int) -> Comparison:
    """Find leads that lack one or both of their email deliveries in the database.

    `waiting` is the notifier's lag. While there is lag, no lead counts as missing, because the notifier may
    still create the deliveries.
    """
    comparison = Comparison("two deliveries of each lead in email_delivery", waiting=waiting)
    async with transaction(pool) as connection:
        rows = [row["id"] async for row in SQL.leads_without_mails(connection, limit=NAMED_AT_MOST)]
    if not waiting:
        comparison.missing = [str(lead_id) for lead_id in rows]
    return comparison


async def compare_deliveries(pool: Pool) -> Comparison:
    """Find events that lack a delivery for a destination that receives them."""
    comparison = Comparison("a delivery of each event for each destination in webhook_delivery")
    async with transaction(pool) as connection:
        comparison.compared = await SQL.count_events(connection)
        comparison.missing = [
            f"event {row['id']}: {row['deliveries']} of {row['delivery_count']} deliveries"
            async for row in SQL.events_without_deliveries(connection, limit=NAMED_AT_MOST)
        ]
    return comparison


async def _notifier_lag(kafka: Kafka) -> int:
    comparison = Comparison("")
    async with _open_consumer(kafka, topics.GROUPS["notifier"]) as consumer:
        partitions = await assign_all_partitions(consumer, kafka.topic_prefix + topics.RECEIVED.name)
        starts = await consumer.beginning_offsets(partitions)
        ends = await consumer.end_offsets(partitions)
        for partition in partitions:
            comparison.waiting += lag(await consumer.committed(partition), starts[partition], ends[partition])
    return comparison.waiting


def _lead_id(record: Any) -> UUID | None:
    try:
        return LeadReceived.model_validate_json(record.value or b"").lead_id
    except ValueError:
        return None


def _event_id(record: Any) -> UUID | None:
    try:
        return UUID(headers.text(record.headers, headers.EVENT_ID) or "")
    except ValueError:
        return None


async def compare_all(kafka: Kafka, postgres: Postgres, console: Console) -> bool:
    """Compare the ledger's counts with the tables' rows, and Kafka with PostgreSQL. Print the results.

    Return True if the counts match the rows and nothing is missing.
    """
    async with open_pool(postgres, "ledger") as pool:
        books = (await count_queue(pool)).books
        table = Table("the ledger in one snapshot", "counted", "rows", "", title_justify="left")
        for identity in books.identities:
            result = "balanced" if identity.balanced else f"differs by {identity.difference}"
            table.add_row(
                f"{identity.stage}: {identity.name}", str(identity.books), str(identity.rows), result
            )
        console.print(table)
        with console.status("comparing what the topics still hold"):
            comparisons = [
                await compare_leads(kafka, pool),
                await compare_failures(kafka, pool),
                await compare_mails(pool, await _notifier_lag(kafka)),
                await compare_deliveries(pool),
                Comparison("rows that the triggers did not count", missing=await find_wrong_counts(pool)),
            ]
        table = Table("compared", "records", "not processed yet", "missing")
        for each in comparisons:
            table.add_row(each.what, str(each.compared), str(each.waiting), str(len(each.missing)))
        console.print(table)
        for each in comparisons:
            for name in each.missing[:NAMED_AT_MOST]:
                console.print(f"missing: {name}, of {each.what}", markup=False, highlight=False)
        return books.balanced and not any(each.missing for each in comparisons)


def main() -> None:
    """Compare Kafka with PostgreSQL, and name what is missing.

    Exits with 1 if anything is missing, or if the ledger's counts differ from the rows of the tables.
    """
    kafka, postgres = load(Kafka), load(Postgres)
    try:
        is_complete = event_loop.run(compare_all(kafka, postgres, Console()))
    except (KafkaError, OSError, TimeoutError, Failure) as error:
        reason = error.reason if isinstance(error, Failure) else type(error).__name__
        sys.exit(f"the ledger cannot be read ({reason}): check KAFKA_BOOTSTRAP_SERVERS and DATABASE_URL")
    if not is_complete:
        sys.exit("the ledger does not balance, or leads are missing: docs/runbooks/LedgerDrift.md")
    print("nothing is missing and the ledger balances")


if __name__ == "__main__":
    typer.run(main)
