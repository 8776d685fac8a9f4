"""`python -m deploy.cli.ledger`: compare the ids in the topics with the tables, and name what is missing.

For a running installation, as its services' role; it writes nothing. Beside it stand the identities of
the books, from one database snapshot (ARCHITECTURE.md).
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
from contracts.leads import LeadReceived
from runtime import event_loop
from runtime.database.postgres import Pool, load_queries, open_pool, transaction
from runtime.failures import Failure
from runtime.kafka.lag import lag
from runtime.kafka.log_reader import assign_all_partitions
from runtime.settings import Kafka, Postgres, load
from services.admin.monitoring.queue_counts import count_queue, find_wrong_counts

SQL: Any = load_queries(Path(__file__).with_name("ledger.sql"))
CHUNK: Final = 1000
NAMED_AT_MOST: Final = 20
READ_SECONDS: Final = 30.0


@dataclass
class Finding:
    """What one comparison found. `waiting` was not taken yet: lag, not loss."""

    what: str
    compared: int = 0
    waiting: int = 0
    missing: list[str] = field(default_factory=list)


@asynccontextmanager
async def _consumer(kafka: Kafka, group: str) -> AsyncIterator[Any]:
    """Open a reader that knows the group's committed offsets, and never joins or commits."""
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


async def _chunks(consumer: Any, topic: str, finding: Finding) -> AsyncIterator[list[Any]]:
    """Yield the records that the group has committed, of all that the topic still holds."""
    partitions = await assign_all_partitions(consumer, topic)
    ends = await consumer.end_offsets(partitions)
    starts = await consumer.beginning_offsets(partitions)
    for partition in partitions:
        taken = max(starts[partition], await consumer.committed(partition) or 0)
        finding.waiting += lag(taken, starts[partition], ends[partition])
        at = starts[partition]
        consumer.seek(partition, at)
        while at < taken:
            async with asyncio.timeout(READ_SECONDS):
                found = await consumer.getmany(partition, timeout_ms=1000, max_records=CHUNK)
            records = [record for part in found.values() for record in part if record.offset < taken]
            if records:
                at = records[-1].offset + 1
                finding.compared += len(records)
                yield records
            elif found:
                break


async def compare_leads(kafka: Kafka, pool: Pool) -> Finding:
    """Find each record of `leads.received.v1` in the inbox, or by its place in the replay queue."""
    topic = kafka.topic_prefix + topics.RECEIVED.name
    finding = Finding(f"leads of {topic} in lead_inbox or replay_queue")
    async with _consumer(kafka, topics.GROUPS["persister"]) as consumer:
        async for records in _chunks(consumer, topic, finding):
            places = {(record.partition, record.offset): _lead_id(record) for record in records}
            async with transaction(pool) as connection:
                ids = [lead_id for lead_id in places.values() if lead_id]
                known = {row["id"] async for row in SQL.known_leads(connection, ids=ids)}
                left = {place: lead_id for place, lead_id in places.items() if lead_id not in known}
                parked = {
                    (row["origin_partition"], row["origin_offset"])
                    async for row in SQL.known_origins(
                        connection,
                        topic=topic,
                        partitions=[partition for partition, _ in left],
                        offsets=[offset for _, offset in left],
                    )
                }
            finding.missing += [
                f"{lead_id or 'undecodable'} (partition {place[0]}, offset {place[1]})"
                for place, lead_id in left.items()
                if place not in parked
            ]
    return finding


async def compare_failures(kafka: Kafka, pool: Pool) -> Finding:
    """Find each failure of `leads.failed.v1` in the audit log, where the flusher notes what it took."""
    topic = kafka.topic_prefix + topics.FAILED.name
    finding = Finding(f"failures of {topic} in audit_log")
    async with _consumer(kafka, topics.GROUPS["flusher"]) as consumer:
        async for records in _chunks(consumer, topic, finding):
            events = {event: record for record in records if (event := _event_id(record))}
            async with transaction(pool) as connection:
                known = {row["event_id"] async for row in SQL.known_events(connection, ids=list(events))}
            finding.missing += [
                f"{event} (partition {record.partition}, offset {record.offset})"
                for event, record in events.items()
                if event not in known
            ]
    return finding


async def compare_mails(pool: Pool, waiting: int) -> Finding:
    """Find the two deliveries of each lead. While the notifier lags, what lacks them may be on its way."""
    finding = Finding("two deliveries of each lead in email_delivery", waiting=waiting)
    async with transaction(pool) as connection:
        rows = [row["id"] async for row in SQL.leads_without_mails(connection, limit=NAMED_AT_MOST)]
    if not waiting:
        finding.missing = [str(lead_id) for lead_id in rows]
    return finding


async def _notifier_lag(kafka: Kafka) -> int:
    finding = Finding("")
    async with _consumer(kafka, topics.GROUPS["notifier"]) as consumer:
        partitions = await assign_all_partitions(consumer, kafka.topic_prefix + topics.RECEIVED.name)
        starts = await consumer.beginning_offsets(partitions)
        ends = await consumer.end_offsets(partitions)
        for partition in partitions:
            finding.waiting += lag(await consumer.committed(partition), starts[partition], ends[partition])
    return finding.waiting


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


async def audit(kafka: Kafka, postgres: Postgres, console: Console) -> bool:
    """Print the books and the comparisons; return True where nothing is missing and all balances."""
    async with open_pool(postgres, "ledger") as pool:
        books = (await count_queue(pool)).books
        table = Table("the books of one snapshot", "counted", "rows", "", title_justify="left")
        for each in books.identities:
            verdict = "balanced" if each.balanced else f"differs by {each.difference}"
            table.add_row(f"{each.stage}: {each.name}", str(each.books), str(each.rows), verdict)
        console.print(table)
        with console.status("comparing what the topics still hold"):
            findings = [
                await compare_leads(kafka, pool),
                await compare_failures(kafka, pool),
                await compare_mails(pool, await _notifier_lag(kafka)),
                Finding("rows that the triggers have not counted", missing=await find_wrong_counts(pool)),
            ]
        table = Table("compared", "records", "not taken yet", "missing")
        for found in findings:
            table.add_row(found.what, str(found.compared), str(found.waiting), str(len(found.missing)))
        console.print(table)
        for found in findings:
            for name in found.missing[:NAMED_AT_MOST]:
                console.print(f"missing: {name}, of {found.what}", markup=False, highlight=False)
        return books.balanced and not any(found.missing for found in findings)


def main() -> None:
    """Compare Kafka with PostgreSQL, and say what is missing. Exits 1 where anything is."""
    kafka, postgres = load(Kafka), load(Postgres)
    try:
        well = event_loop.run(audit(kafka, postgres, Console()))
    except (KafkaError, OSError, TimeoutError, Failure) as error:
        reason = error.reason if isinstance(error, Failure) else type(error).__name__
        sys.exit(f"the ledger cannot be read ({reason}): check KAFKA_BOOTSTRAP_SERVERS and DATABASE_URL")
    if not well:
        sys.exit("the ledger does not balance, or leads are missing")
    print("nothing is missing and the books balance")


if __name__ == "__main__":
    typer.run(main)
