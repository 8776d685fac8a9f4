"""Stores failures of `leads.failed.v1` in the replay queue, and applies the events of `mail.events.v1`."""

from collections.abc import Sequence

from contracts import topics
from contracts.reasons import Reason
from runtime.failures import Failure
from runtime.kafka.handler import Record
from runtime.logs import logger
from services.flusher.bounces.event_store import MailEventStore
from services.flusher.failed_record import decode_failure, undecodable_failure
from services.flusher.publisher import ReplayPublisher
from services.flusher.store import Store


class Handler:
    """Stores failures in the replay queue. If a row becomes dead, its dead letter is published too.

    The dead letter is published before the transaction commits, so a crash in between does not lose it. After
    such a crash it is published again with the same event id. If Kafka refuses a dead letter permanently, the
    refusal is only logged: the row still has the record's bytes.
    """

    def __init__(
        self, store: Store, mail_events: MailEventStore, publisher: ReplayPublisher, group: str
    ) -> None:
        self._store = store
        self._mail_events = mail_events
        self._publisher = publisher
        self._group = group
        self._log = logger("failures")

    async def handle(self, records: Sequence[Record]) -> None:
        """Store the failures of a batch in one transaction, then apply its mail events in another.

        Raises `PartitionsBusy` if an event concerns an email that is being sent now.
        """
        events = [record for record in records if topics.is_mail_event(record.topic)]
        failures = [record for record in records if not topics.is_mail_event(record.topic)]
        if failures:
            failed_records = [decode_failure(record, self._group) for record in failures]
            counts = await self._store.store_failures(failed_records, self._publisher.publish_dead_letters)
            self._log.info("Queue stored failures", records=len(failures), **counts)
        if events:
            await self._mail_events.apply(events)

    async def send_to_retry_queue(self, record: Record, failure: Failure) -> None:
        """Store a dead row with the original bytes of a record that `handle` could not store.

        A mail event has no lead that could be sent again, so it is only counted and logged.
        """
        if topics.is_mail_event(record.topic):
            self._log.error(
                "mail event not applied",
                partition=record.partition,
                offset=record.offset,
                reason=failure.reason,
            )
            await self._mail_events.count_failed(record)
            return
        dead_record = undecodable_failure(
            record, self._group, Reason.FAILURE_NOT_STORED.format(reason=failure.reason)[:200]
        )
        await self._store.store_failures([dead_record], self._publisher.publish_dead_letters)
