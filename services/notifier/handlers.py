"""Handles batches of Kafka records: reserves and sends the requested mails. No SQL, no SMTP."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from uuid import UUID

from contracts.canary import canary_of
from contracts.leads import LeadReceived
from runtime import metrics
from runtime.database.canaries import CanaryResult
from runtime.database.circuit_breaker import CircuitBreaker
from runtime.failures import DependencyUnavailable, Failure, PartitionsBusy, PermanentError
from runtime.kafka.failure_publisher import FailurePublisher
from runtime.kafka.handler import Record
from services.notifier.canaries import CanaryMails
from services.notifier.deliveries import Delivery, decode_batch, requested_deliveries
from services.notifier.mail.alert import OtherLeads
from services.notifier.mail.identities import Identities
from services.notifier.sending.batch_sender import BatchSender
from services.notifier.sending.mail_sender import MailSender
from services.notifier.sending.mails_in_progress import Holds
from services.notifier.sending.pacing import Pacing
from services.notifier.sending.recent_outcomes import RecentOutcomes
from services.notifier.sending.token_bucket import TokenBucket
from services.notifier.smtp.mailer import Mailer
from services.notifier.smtp.outcome import PROCESS_DIED, MailOutcome, MailStatus
from services.notifier.store import Store

OtherLeadsReader = Callable[[Sequence[LeadReceived]], Awaitable[Mapping[UUID, OtherLeads]]]


class Handler:
    """Handles the batches of one consumer.

    The order of steps is: publish the failure of a mail, commit the mail's outcome, commit the offset of the
    record. After a crash between two steps, the failure is published again with the same event id, so that
    the flusher ignores it.
    """

    def __init__(
        self,
        store: Store,
        mailer: Mailer,
        publisher: FailurePublisher,
        identities: Identities,
        stopping: asyncio.Event,
        breaker: CircuitBreaker,
        bucket: TokenBucket,
        recent: RecentOutcomes,
        *,
        connections: int,
        holds: Holds = lambda _topic, _partition: True,
        read_other_leads: OtherLeadsReader | None = None,
        canaries: CanaryMails | None = None,
    ) -> None:
        """`read_other_leads` returns the other leads of the person of each lead. It never fails."""
        self._store = store
        self._stopping = stopping
        self._pacing = Pacing(bucket, stopping)
        self._sender = MailSender(store, mailer, publisher, identities, breaker, self._pacing, recent, holds)
        self._connection_count = connections
        self._connections = asyncio.Semaphore(connections)
        self._read_other_leads = read_other_leads
        self._canaries = canaries

    async def handle(self, records: Sequence[Record]) -> None:
        """Send the mails that these records request.

        Raises `DependencyUnavailable` if the consumer has to pause, and `PartitionsBusy` if another process
        is sending some of the mails.
        """
        try:
            await self._handle(records)
        except DependencyUnavailable as unavailable:
            if self._canaries:
                await self._canaries.write_pause(unavailable)
            raise

    async def _handle(self, records: Sequence[Record]) -> None:
        self._sender.remove_revoked()
        batch = decode_batch(records)
        plan = await self._store.reserve(batch, records, self._sender.in_progress)
        if self._canaries:
            self._canaries.queue.add(batch.canaries)
        for delivery, _ in plan.suppressed:
            metrics.MAILS.labels(kind=delivery.kind, outcome="suppressed").inc()
        for delivery in plan.to_send:
            self._sender.remove_superseded(delivery)
        for delivery in plan.unknown:
            await self._sender.record_outcome(delivery, PROCESS_DIED)
        await self._send_all(plan.resumed + plan.to_send)
        if plan.busy:
            raise PartitionsBusy(plan.busy, plan.wait_seconds + 0.1)

    async def send_to_retry_queue(self, record: Record, failure: Failure) -> None:
        """Publish a failure for each mail of this record that has no outcome yet.

        Then count the record as `parked` in the ledger. A canary's failure is only written down.
        """
        if canary_id := canary_of(record.headers):
            await self._store.count_canary(record, CanaryResult(canary_id, "notifier", failure.reason))
            return
        for _, lead in decode_batch([record]).leads:
            states = await self._store.states(lead.lead_id)
            for delivery in requested_deliveries(record, lead, first=not states):
                state = states.get(delivery.kind)
                if state in (None, "reserved"):
                    final = isinstance(failure, PermanentError)
                    status = MailStatus.DEAD if final else MailStatus.WAITING
                    await self._sender.record_outcome(delivery, MailOutcome(status, failure.reason))
                elif state == "sending":
                    await self._sender.record_outcome(delivery, PROCESS_DIED)
        await self._store.count_failure(record)

    async def _send_all(self, deliveries: list[Delivery]) -> None:
        alerts = [each.lead for each in deliveries if each.kind == "admin_alert"]
        batch = BatchSender(
            self._sender,
            self._sender.suspects_last(deliveries),
            await self._read_other_leads(alerts) if self._read_other_leads else {},
            self._connections,
            self._pacing,
            self._stopping,
        )
        try:
            # Two workers for each connection: one mail is sent while the outcome of another is committed.
            await batch.run(2 * self._connection_count)
        finally:
            await self._sender.release(batch.uncommitted)
        batch.raise_error()
