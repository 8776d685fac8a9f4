"""Writes again what the database has forgotten of mails: none may be sent twice, none be missing.

Below its commit in Kafka the notifier has settled every mail: it was sent, or its failure was published. So
the records and the failures say what became of each. The decisions are in `remembered`.
"""

import asyncio
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, Final
from uuid import UUID, uuid5

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from contracts import headers, topics
from runtime.database.ledger import Ledger, LedgerEntries
from runtime.database.postgres import Connection, Pool, load_queries, transaction
from runtime.failures import DependencyUnavailable, RewindRequired
from runtime.kafka.log_reader import KAFKA_SECONDS, assign_all_partitions, open_reader, read_ranges
from runtime.kafka.positions import Position
from runtime.logs import logger
from runtime.settings import Kafka
from services.notifier import batch_plan
from services.notifier.batch_plan import Row
from services.notifier.mail.message import Identity, message_id
from services.notifier.recovered_outcomes import EVENTS, Failed, Newest, Remembered, find_newest, remember
from services.notifier.store import SQL as MAIL_SQL
from services.notifier.store import mailbox_of, storable

SQL: Any = load_queries(Path(__file__).with_name("recover_mail_outcomes.sql"))

# A rolled-back database may have the reservation of the last batch and not its outcomes; a batch is smaller.
LOOK_BACK: Final = 500
# The clocks of two brokers differ by less.
CLOCK_SKEW_MS: Final = 3_600_000

Positions = dict[TopicPartition, Position]


class Rebuild:
    """Brings `email_delivery` and the ledger up to the group's commits. Raises `DependencyUnavailable`."""

    def __init__(self, kafka: Kafka, pool: Pool, ledger: Ledger, identity: Identity) -> None:
        self._kafka = kafka
        self._pool = pool
        self._ledger = ledger
        self._identity = identity
        self._log = logger("reconcile")

    async def run(self, positions: Positions) -> None:
        """Write what is missing of these partitions; does nothing where nothing is."""
        async with transaction(self._pool) as connection:
            in_hand = {row["lead_id"] async for row in SQL.leads_in_hand(connection)}
        behind = any(position.behind for position in positions.values())
        if not in_hand and not behind:
            return
        spans = {
            each: (first, end)
            for each, position in positions.items()
            if (first := max(position.start, position.next_offset - LOOK_BACK))
            < (end := min(position.committed or 0, position.end))
        }
        if not spans:
            return
        # First all leads, then what was tried again: two topics have no order between them.
        ordered = dict(sorted(spans.items(), key=lambda span: topics.RETRY_NOTIFIER.name in span[0].topic))
        written = 0
        try:
            async with open_reader(self._kafka) as reader:
                if not behind and not await self._asks_for(reader, ordered, in_hand):
                    return
                failures = await self._failures(reader, ordered)
                newest = await self._newest(reader, ordered)
                reader.assign(list(ordered))
                async for records in read_ranges(reader, ordered):
                    written += await self._write_all(records, failures, newest)
        except (KafkaError, OSError, TimeoutError, RewindRequired) as error:
            raise DependencyUnavailable("kafka", f"kafka does not answer ({type(error).__name__})") from error
        if written:
            self._log.warning("Mails rebuilt from Kafka's records", mails=written)

    async def _asks_for(
        self, reader: Any, spans: dict[TopicPartition, tuple[int, int]], leads: Collection[UUID]
    ) -> bool:
        """Return True where one of these records is of one of these leads."""
        reader.assign(list(spans))
        async for records in read_ranges(reader, spans):
            if any(lead.lead_id in leads for _, lead in batch_plan.read(records).leads):
                return True
        return False

    async def _failures(self, reader: Any, spans: dict[TopicPartition, tuple[int, int]]) -> dict[str, Failed]:
        """Return how each mail failed, by the id of its failure, since the first of these records."""
        since = await self._oldest(reader, spans)
        name = self._kafka.topic_prefix + topics.FAILED.name
        partitions = await assign_all_partitions(reader, name)
        async with asyncio.timeout(KAFKA_SECONDS):  # aiokafka waits for a leader without an end
            ends = await reader.end_offsets(partitions)
            times = dict.fromkeys(partitions, max(0, since - CLOCK_SKEW_MS))
            begins = await reader.offsets_for_times(times)
        found = dict[str, Failed]()
        wanted = {each: (begin.offset, ends[each]) for each, begin in begins.items() if begin}
        async for records in read_ranges(reader, wanted):
            for record in records:
                event_id = headers.text(record.headers, headers.EVENT_ID)
                error = headers.text(record.headers, headers.EXCEPTION_FQCN)
                if event_id and error:
                    origin_ms = headers.text(record.headers, headers.ORIGINAL_TIMESTAMP)
                    found[event_id] = Failed(error, origin_ms)
        return found

    async def _newest(self, reader: Any, spans: dict[TopicPartition, tuple[int, int]]) -> Newest:
        """Return the newest of these records that asks for a mail again, for each mail."""
        retries = {each: span for each, span in spans.items() if topics.RETRY_NOTIFIER.name in each.topic}
        newest: Newest = {}
        reader.assign(list(retries))
        async for records in read_ranges(reader, retries):
            find_newest(records, newest)
        return newest

    async def _oldest(self, reader: Any, spans: dict[TopicPartition, tuple[int, int]]) -> int:
        """Return the time of the oldest of these records, in milliseconds since 1970."""
        times = []
        reader.assign(list(spans))
        for each, (first, end) in spans.items():
            found = read_ranges(reader, {each: (first, min(first + 1, end))})
            times += [records[0].timestamp async for records in found]
        return min(times, default=0)

    async def _write_all(self, records: Sequence[Any], failures: dict[str, Failed], newest: Newest) -> int:
        """Write what one chunk lacks, in one transaction with its place in the ledger."""
        leads = batch_plan.read(records).by_lead()
        async with transaction(self._pool) as connection:
            await MAIL_SQL.keep_erasures_out(connection)
            pages = await self._lock(connection, records)
            rows = {
                (row["lead_id"], row["kind"]): Row(
                    row["state"], row["owner"], row["lease_seconds"], row["settled_by"]
                )
                async for row in MAIL_SQL.lock_rows(connection, lead_ids=list(leads))
            }
            statuses = {
                row["id"]: row["status"] async for row in MAIL_SQL.statuses(connection, lead_ids=list(leads))
            }
            lacked = {id(r) for r in records if r.offset >= pages[r.topic, r.partition].next_offset}
            mails, outcomes = remember(records, rows, statuses, failures, lacked, newest)
            for mail in mails:
                await self._write(connection, mail)
            for record, outcome in zip(records, outcomes, strict=True):
                pages.count(record, outcome)
            await self._ledger.save(connection, pages)
        return len(mails)

    async def _lock(self, connection: Connection, records: Sequence[Any]) -> LedgerEntries:
        try:
            return await self._ledger.lock(connection, records)
        except RewindRequired as back:  # offsets that hold no record: there is nothing to go back for
            back.confirm()
            return await self._ledger.lock(connection, records)

    async def _write(self, connection: Connection, mail: Remembered) -> None:
        delivery, event = mail.delivery, EVENTS[mail.state]
        to = delivery.lead.email.lower() if delivery.kind == "welcome" else ", ".join(self._identity.admins)
        named = {"lead_id": delivery.lead.lead_id, "kind": delivery.kind, "reason": mail.reason}
        await SQL.write_mail(
            connection,
            **named,
            state=mail.state,
            recipient=None if mail.reason == "erased" else storable(to),
            mailbox=None if mail.reason == "erased" else mailbox_of(delivery),
            site=storable(delivery.lead.site),
            received_at=delivery.lead.occurred_at,
            message_id=message_id(delivery.lead, delivery.kind, self._identity.from_email),
            record_id=delivery.record_id,
        )
        await SQL.insert_entry(
            connection,
            **named,
            event_id=uuid5(delivery.record_id, event),
            event=event.value,
            request_id=storable(delivery.lead.request_id),
        )
