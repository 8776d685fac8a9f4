"""`python -m deploy.restored`: after the database was restored, make it and Kafka fit together again.

Kafka holds what came after the backup. Persister and flusher are sent back for it. The notifier is not, for
its mails are out: what became of each is read from Kafka instead, and written as it was. Run it once
between the restore and the start of the services; to run it again does nothing.
"""

import asyncio
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid5

import typer
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError
from faststream.kafka.security import parse_security

import runtime.ledger
from contracts import headers, topics
from deploy.groups import CONSUMERS, read_groups
from deploy.places import KAFKA_SECONDS, Place, open_reader, read_places, read_spans
from deploy.remembered import Remembered, remember
from runtime import event_loop
from runtime.failures import Failure
from runtime.ledger import Ledger
from runtime.postgres import Connection, load_queries, open_pool, transaction
from runtime.settings import Kafka, load
from services.notifier.message import message_id
from services.notifier.settings import Settings

SQL: Any = load_queries(Path(__file__).with_name("restored.sql"))
BOOKS: Any = load_queries(Path(runtime.ledger.__file__).with_name("ledger.sql"))


@dataclass
class Report:
    """What was done, in numbers."""

    sent_back: dict[str, int] = field(default_factory=dict)
    new_logs: int = 0
    mails: dict[str, int] = field(default_factory=dict)
    in_hand: int = 0


class StillRunningError(Exception):
    """A group has members: stop these services first."""


async def _refuse_members(kafka: Kafka) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap_servers, **parse_security(kafka.security()))
    await asyncio.wait_for(admin.start(), KAFKA_SECONDS)
    try:
        groups = await asyncio.wait_for(read_groups(admin, kafka.topic_prefix), KAFKA_SECONDS)
        alive = [service for service, group in groups.items() if group.members]
    finally:
        await asyncio.wait_for(admin.close(), KAFKA_SECONDS)
    if alive:
        raise StillRunningError(
            f"{', '.join(alive)} still run, or were killed within the last 10 s: stop them"
        )


async def _open_new_logs(connection: Connection, stage: str, places: dict[TopicPartition, Place]) -> int:
    """Begin a page for each log that is another one than that in the books."""
    others = {each: place for each, place in places.items() if place.is_another_log}
    for each, place in others.items():
        await BOOKS.open_page(
            connection,
            stage=stage,
            topic=each.topic,
            partition=each.partition,
            epoch=place.book["epoch"] + 1,
            base_offset=place.start,
        )
    return len(others)


async def _send_back(consumer: Any, places: dict[TopicPartition, Place]) -> int:
    """Set the group to what the books lack; return how many records it will take again."""
    back = {
        each: place.next_offset
        for each, place in places.items()
        if not place.is_another_log and place.committed is not None and place.next_offset < place.committed
    }
    if back:
        await asyncio.wait_for(consumer.commit(back), KAFKA_SECONDS)
    return sum((places[each].committed or 0) - offset for each, offset in back.items())


async def _failures(kafka: Kafka) -> dict[str, str]:
    """Return how each failed mail failed, by the id of its failure: all that Kafka still holds."""
    found = dict[str, str]()
    async with open_reader(kafka, "fastcore.restored") as consumer:
        name = kafka.topic_prefix + topics.FAILED.name
        partitions = [TopicPartition(name, number) for number in range(topics.PARTITIONS)]
        consumer.assign(partitions)
        starts = await consumer.beginning_offsets(partitions)
        ends = await consumer.end_offsets(partitions)
        async for records in read_spans(consumer, {each: (starts[each], ends[each]) for each in partitions}):
            for record in records:
                event_id = headers.text(record.headers, headers.EVENT_ID)
                error = headers.text(record.headers, headers.EXCEPTION_FQCN)
                if event_id and error:
                    found[event_id] = error
    return found


async def _remember_mails(
    settings: Settings,
    consumer: Any,
    connection: Connection,
    places: dict[TopicPartition, Place],
    report: Report,
) -> None:
    """Write what the notifier had done since the backup, and count it in its books."""
    spans = {
        each: (place.next_offset, place.committed)
        for each, place in places.items()
        if not place.is_another_log and place.committed is not None and place.next_offset < place.committed
    }
    # First all leads, then what was tried again: two topics have no order between them.
    ordered = dict(sorted(spans.items(), key=lambda span: topics.RETRY_NOTIFIER.name in span[0].topic))

    async def bounds(topic: str, partition: int) -> tuple[int, int]:
        place = places[TopicPartition(topic, partition)]
        return place.start, place.end

    ledger, failures = Ledger("notifier", bounds, go_back=False), await _failures(settings.kafka)
    async for records in read_spans(consumer, ordered):
        ids = [lead_id for record in records if (lead_id := Remembered.lead_id(record))]
        known = {row["lead_id"] async for row in SQL.known_mails(connection, ids=ids)}
        statuses = {row["id"]: row["status"] async for row in SQL.statuses(connection, ids=ids)}
        pages = await ledger.lock(connection, records)
        mails, outcomes = remember(records, known, statuses, failures)
        await _write(connection, settings, mails)
        for record, outcome in zip(records, outcomes, strict=True):
            pages.count(record, outcome)
        await ledger.save(connection, pages)
        for mail in mails:
            report.mails[mail.state] = report.mails.get(mail.state, 0) + 1


async def _write(connection: Connection, settings: Settings, mails: Iterable[Remembered]) -> None:
    # One by one: of two records about one mail the later one holds.
    for mail in mails:
        delivery = mail.delivery
        to = delivery.lead.email.lower() if delivery.kind == "welcome" else ", ".join(settings.admins)
        named = {"lead_id": delivery.lead.lead_id, "kind": delivery.kind, "reason": mail.reason}
        await SQL.write_mail(
            connection,
            **named,
            state=mail.state,
            recipient=None if mail.reason == "erased" else to,
            message_id=message_id(delivery.lead, delivery.kind, settings.from_email),
            record_id=delivery.record_id,
        )
        await SQL.insert_entry(
            connection,
            **named,
            event_id=uuid5(delivery.record_id, mail.event),
            event=mail.event.value,
            request_id=delivery.lead.request_id,
        )


async def rejoin(settings: Settings) -> Report:
    """Make books and groups fit. Raises `StillRunningError`, and what Kafka and PostgreSQL raise."""
    kafka, report = settings.kafka, Report()
    await _refuse_members(kafka)
    async with open_pool(settings.postgres, "restored") as pool:
        for stage in CONSUMERS:
            # The database first: where it fails no group was moved.
            async with open_reader(kafka, topics.GROUPS[stage]) as consumer:
                async with transaction(pool) as connection:
                    places = await read_places(kafka, consumer, connection, stage)
                    report.new_logs += await _open_new_logs(connection, stage, places)
                    if stage == "notifier":
                        await _remember_mails(settings, consumer, connection, places, report)
                        report.in_hand = await SQL.give_up_mails_in_hand(connection)
                if stage != "notifier":
                    report.sent_back[stage] = await _send_back(consumer, places)
    return report


def main() -> None:
    """After a restore of the database: fit its books and Kafka's groups together, before services start."""
    settings = load(Settings)
    try:
        report = event_loop.run(rejoin(settings))
    except StillRunningError as error:
        sys.exit(str(error))
    except (KafkaError, OSError, TimeoutError, Failure) as error:
        reason = error.reason if isinstance(error, Failure) else type(error).__name__
        sys.exit(f"not done ({reason}): check KAFKA_BOOTSTRAP_SERVERS and DATABASE_URL, then run it again")
    for stage, records in report.sent_back.items():
        print(f"{stage} will take {records} records again")
    if report.new_logs:
        print(f"{report.new_logs} partitions are of another Kafka: their books begin anew")
    told = ", ".join(f"{number} {state}" for state, number in sorted(report.mails.items()))
    print(f"mails since the backup, as Kafka tells them: {told or 'none'}")
    if report.in_hand:
        print(f"{report.in_hand} mails were in hand at the backup: unknown; look before you resend one")
    print("start the services now, and check with: python -m deploy.ledger")


if __name__ == "__main__":
    typer.run(main)
