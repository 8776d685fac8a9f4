"""Recovers mail outcomes that the database has lost, so that no mail is sent twice and none is omitted.

The notifier commits the offset of a record only after each mail of the record was sent, suppressed or
published as a failure. So the committed records and the published failures show the outcome of each mail. The
module `recovered_outcomes` derives the outcomes from them.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any, Final
from uuid import UUID, uuid5

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from contracts import headers, topics
from contracts.audit import AuditRecorded
from runtime.database.audit_log import append_entries
from runtime.database.erasure import block_erasures
from runtime.database.ledger import Ledger, LedgerEntries
from runtime.database.postgres import Connection, Pool, load_queries, transaction
from runtime.failures import DependencyUnavailable, RewindRequired
from runtime.kafka.log_reader import KAFKA_SECONDS, assign_all_partitions, open_reader, read_ranges
from runtime.kafka.positions import Position
from runtime.logs import logger
from runtime.settings import Kafka
from services.notifier.alert_collection import AlertCollection
from services.notifier.batch_data import count_alerts, load_deliveries, load_statuses
from services.notifier.collected_alerts import add_collected_alerts
from services.notifier.deliveries import STAGE, Key, decode_batch
from services.notifier.delivery_values import AUDIT_EVENTS, mailbox_of, recipient_of, storable
from services.notifier.mail.identities import Identities
from services.notifier.mail.message import message_id
from services.notifier.recovery.recovered_outcomes import (
    NewestRetries,
    PublishedFailure,
    RecoveredOutcome,
    recover_outcomes,
    update_newest_retries,
)

_SQL: Any = load_queries(Path(__file__).with_name("recover_mail_outcomes.sql"))

# A rolled-back database may hold the reservations of the last batch without its outcomes. This is the largest
# size of a batch.
LOOK_BACK: Final = 500
# More than the difference between the clocks of two brokers.
CLOCK_SKEW_MS: Final = 3_600_000

Positions = dict[TopicPartition, Position]
OffsetRanges = dict[TopicPartition, tuple[int, int]]


class MailOutcomeRecovery:
    """Adds the missing outcomes of committed records to `email_delivery` and the ledger."""

    def __init__(
        self,
        kafka: Kafka,
        pool: Pool,
        ledger: Ledger,
        identities: Identities,
        new_collection: Callable[[], AlertCollection],
    ) -> None:
        """`new_collection` returns the rules for the alerts that a digest lists."""
        self._new_collection = new_collection
        self._kafka = kafka
        self._pool = pool
        self._ledger = ledger
        self._identities = identities
        self._log = logger("reconcile")

    async def run(self, positions: Positions) -> None:
        """Write the missing outcomes of the records in these partitions.

        `positions` has the notifier's position in each partition. Raises `DependencyUnavailable`.
        """
        async with transaction(self._pool) as connection:
            unfinished = {row["lead_id"] async for row in _SQL.leads_without_outcome(connection)}
        behind = any(position.behind for position in positions.values())
        if not unfinished and not behind:
            return
        ranges = {
            each: (first, end)
            for each, position in positions.items()
            if (first := max(position.start, position.next_offset - LOOK_BACK))
            < (end := min(position.committed or 0, position.end))
        }
        if not ranges:
            return
        # Read all leads before the retries: Kafka does not order records across topics.
        ordered = dict(sorted(ranges.items(), key=lambda item: topics.RETRY_NOTIFIER.name in item[0].topic))
        written = 0
        try:
            async with open_reader(self._kafka) as reader:
                if not behind and not await self._contains_lead(reader, ordered, unfinished):
                    return
                failures = await self._read_failures(reader, ordered)
                newest = await self._read_newest_retries(reader, ordered)
                reader.assign(list(ordered))
                async for records in read_ranges(reader, ordered):
                    written += await self._write_chunk(records, failures, newest)
        except (KafkaError, OSError, TimeoutError, RewindRequired) as error:
            raise DependencyUnavailable("kafka", f"kafka does not answer ({type(error).__name__})") from error
        if written:
            self._log.warning("Mail outcomes recovered from Kafka", mails=written)

    async def _contains_lead(self, reader: Any, ranges: OffsetRanges, leads: Collection[UUID]) -> bool:
        """Return True if a record in these offset ranges belongs to one of these leads."""
        reader.assign(list(ranges))
        async for records in read_ranges(reader, ranges):
            if any(lead.lead_id in leads for _, lead in decode_batch(records).leads):
                return True
        return False

    async def _read_failures(self, reader: Any, ranges: OffsetRanges) -> dict[str, PublishedFailure]:
        """Return the failures published since the oldest record in these offset ranges, by event id."""
        since = await self._oldest_timestamp(reader, ranges)
        name = self._kafka.topic_prefix + topics.FAILED.name
        partitions = await assign_all_partitions(reader, name)
        async with asyncio.timeout(KAFKA_SECONDS):  # aiokafka waits for a leader without a limit
            ends = await reader.end_offsets(partitions)
            times = dict.fromkeys(partitions, max(0, since - CLOCK_SKEW_MS))
            begins = await reader.offsets_for_times(times)
        failures = dict[str, PublishedFailure]()
        failure_ranges = {each: (begin.offset, ends[each]) for each, begin in begins.items() if begin}
        async for records in read_ranges(reader, failure_ranges):
            for record in records:
                event_id = headers.text(record.headers, headers.EVENT_ID)
                error = headers.text(record.headers, headers.EXCEPTION_FQCN)
                if event_id and error:
                    origin_ms = headers.text(record.headers, headers.ORIGINAL_TIMESTAMP)
                    failures[event_id] = PublishedFailure(error, origin_ms)
        return failures

    async def _read_newest_retries(self, reader: Any, ranges: OffsetRanges) -> NewestRetries:
        """Return the position of the newest retry of each mail in these offset ranges."""
        retries = {
            each: offsets for each, offsets in ranges.items() if topics.RETRY_NOTIFIER.name in each.topic
        }
        newest: NewestRetries = {}
        reader.assign(list(retries))
        async for records in read_ranges(reader, retries):
            update_newest_retries(records, newest)
        return newest

    async def _oldest_timestamp(self, reader: Any, ranges: OffsetRanges) -> int:
        """Return the timestamp in ms of the oldest record in these offset ranges; 0 if there is none."""
        times = []
        reader.assign(list(ranges))
        for each, (first, end) in ranges.items():
            first_records = read_ranges(reader, {each: (first, min(first + 1, end))})
            times += [records[0].timestamp async for records in first_records]
        return min(times, default=0)

    async def _write_chunk(
        self, records: Sequence[Any], failures: dict[str, PublishedFailure], newest: NewestRetries
    ) -> int:
        """Write the missing outcomes of these records and count the records, in one transaction."""
        leads = decode_batch(records).by_lead()
        async with transaction(self._pool) as connection:
            await block_erasures(connection)
            ledger_entries = await self._lock_ledger(connection, records)
            rows, statuses = await load_deliveries(connection, leads), await load_statuses(connection, leads)
            uncounted = {
                id(r) for r in records if r.offset >= ledger_entries[r.topic, r.partition].next_offset
            }
            known = set(rows)
            mails, outcomes = recover_outcomes(records, rows, statuses, failures, uncounted, newest)
            due_at = await self._find_collected(connection, mails, known)
            mails = [
                replace(each, state="collected") if each.delivery.key in due_at else each for each in mails
            ]
            for mail in mails:
                await self._write_mail(connection, mail)
            collected = [each.delivery for each in mails if each.state == "collected"]
            await add_collected_alerts(connection, collected, due_at)
            for record, outcome in zip(records, outcomes, strict=True):
                ledger_entries.count(record, outcome)
            await self._ledger.save(connection, ledger_entries)
        return len(mails)

    async def _find_collected(
        self, connection: Connection, mails: Sequence[RecoveredOutcome], known: Collection[Key]
    ) -> dict[Key, datetime]:
        """Return the alerts that a lost digest may not have listed, and when the next digest is due.

        They are listed again: Kafka's records do not say whether the digest was sent. If a burst was lost,
        all its alerts are listed, also those that were sent one by one.
        """
        lost = [
            each.delivery
            for each in mails
            if each.state == "sent" and each.delivery.kind == "admin_alert" and each.delivery.key not in known
        ]
        if not lost:
            return {}
        collection = self._new_collection()
        await count_alerts(connection, [each.lead for each in lost], collection)
        bursts = Counter(collection.group_of(each.lead) for each in lost)
        for group, count in bursts.items():
            is_burst = count + collection.recent.get(group, 0) > collection.limit > 0
            if is_burst or group[0] in collection.next_digests:
                collection.recent[group] = collection.limit
        return {each.key: due for each in lost if (due := collection.due_at(each.lead))}

    async def _lock_ledger(self, connection: Connection, records: Sequence[Any]) -> LedgerEntries:
        try:
            return await self._ledger.lock(connection, records)
        except RewindRequired as rewind:  # the skipped offsets hold no record, so there is nothing to read
            rewind.confirm()
            return await self._ledger.lock(connection, records)

    async def _write_mail(self, connection: Connection, mail: RecoveredOutcome) -> None:
        delivery, event = mail.delivery, AUDIT_EVENTS.get(mail.state)
        erased = mail.reason == "erased"
        await _SQL.write_mail(
            connection,
            lead_id=delivery.lead.lead_id,
            kind=delivery.kind,
            reason=mail.reason,
            state=mail.state,
            recipient=None if erased else recipient_of(delivery, self._identities),
            mailbox=None if erased else mailbox_of(delivery),
            site=storable(delivery.lead.site),
            received_at=delivery.lead.occurred_at,
            message_id=message_id(
                delivery.lead.lead_id, delivery.kind, self._identities.of(delivery.lead.site).from_email
            ),
            record_id=delivery.record_id,
        )
        if event is None:  # collected
            return
        entry = AuditRecorded(
            event_id=uuid5(delivery.record_id, event),
            occurred_at=delivery.lead.occurred_at,
            event=event,
            actor=STAGE,
            lead_id=delivery.lead.lead_id,
            request_id=storable(delivery.lead.request_id),
            details={"kind": delivery.kind, "reason": mail.reason},
        )
        await append_entries(connection, [entry], database_time=True)
