"""Sends single mails, publishes their failures and commits their outcomes."""

import asyncio
import time
from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final

from opentelemetry.trace import SpanKind

from contracts.failures import Kind
from runtime import metrics
from runtime.database.circuit_breaker import CircuitBreaker
from runtime.failures import DependencyUnavailable, Failure
from runtime.kafka.failure_publisher import FailurePublisher
from runtime.logs import logger
from runtime.tracing.spans import record_context, span
from services.notifier.deliveries import Delivery, Key
from services.notifier.mail.alert import NO_OTHER_LEADS, OtherLeads
from services.notifier.mail.identities import Identities
from services.notifier.mail.message import UndeliverableError, compose
from services.notifier.sending.mails_in_progress import Holds, MailsInProgress
from services.notifier.sending.pacing import Pacing
from services.notifier.sending.recent_outcomes import RecentOutcomes
from services.notifier.sending.repeated_failures import RepeatedFailures
from services.notifier.smtp.mailer import Mailer
from services.notifier.smtp.outcome import (
    ALL_RECIPIENTS_REFUSED,
    MailOutcome,
    MailStatus,
    Phase,
    span_attributes,
)
from services.notifier.smtp.refusal_streak import RefusalStreak
from services.notifier.store import Store

RELEASE_SECONDS: Final = 5.0


class MailSender:
    """Sends mails, publishes their failures and commits their outcomes.

    If a batch is cancelled, its mails that have started are still finished, because a cancelled mail may have
    been sent. The outcome of a mail is cached at least until it is committed.
    """

    def __init__(
        self,
        store: Store,
        mailer: Mailer,
        publisher: FailurePublisher,
        identities: Identities,
        breaker: CircuitBreaker,
        pacing: Pacing,
        recent: RecentOutcomes,
        holds: Holds,
    ) -> None:
        self._store = store
        self._mailer = mailer
        self._publisher = publisher
        self._identities = identities
        self._breaker = breaker
        self._pacing = pacing
        self._recent = recent
        self._holds = holds
        self._in_progress = MailsInProgress(holds)
        self._failures = RepeatedFailures()
        self._streak = RefusalStreak(lambda: identities.admins)
        self._log = logger("notify")

    @property
    def in_progress(self) -> Collection[Key]:
        """Return the mails that this process is sending, or whose outcome it has cached."""
        return list(self._in_progress)

    def remove_revoked(self) -> None:
        """Remove the mails of partitions that are no longer assigned to this process."""
        self._in_progress.remove_revoked()
        self._failures.remove_revoked(self._holds)

    def remove_superseded(self, delivery: Delivery) -> None:
        """Remove the cached outcome of this mail if it belongs to an earlier record."""
        self._in_progress.remove_superseded(delivery)

    def suspects_last(self, deliveries: Sequence[Delivery]) -> list[Delivery]:
        """Return the deliveries sorted by their number of dependency failures so far, the fewest first.

        So the first mails show whether the server works. If they pass and a later mail fails again, that mail
        is the cause.
        """
        return sorted(deliveries, key=lambda each: self._failures.count_of(each.key))

    async def attempt(
        self, delivery: Delivery, started_at: float, others: OtherLeads = NO_OTHER_LEADS
    ) -> MailOutcome:
        """Send one mail, or wait for the task that is already sending it. Raises `DependencyUnavailable`.

        `started_at` is the return value of `Pacing.start`. `others` are the person's other leads, which an
        alert shows.
        """
        sending = self._in_progress.find(delivery)
        if sending is None:
            # Check the breaker before each mail: a batch may hold more mails than may fail in a row.
            await self._breaker.check()
            sending = asyncio.create_task(self._send(delivery, started_at, others))
            self._in_progress.add(delivery, sending)
        # Shielded: if a cancelled batch cancelled the mail, the outcome of a written body would be unknown.
        outcome = await asyncio.shield(sending)
        if outcome.status is MailStatus.UNAVAILABLE:
            if not self._failures.is_caused_by_mail(delivery, outcome):
                raise DependencyUnavailable("smtp", outcome.pause_reason)
            outcome = replace(outcome, status=MailStatus.WAITING)
        if outcome.status is MailStatus.THROTTLED:
            if not self._pacing.is_limit_of_one_mail(delivery.key):
                return outcome
            outcome = replace(outcome, status=MailStatus.WAITING)
        self._failures.record_passed(delivery, outcome)
        return outcome

    async def commit_outcome(self, delivery: Delivery, outcome: MailOutcome) -> None:
        """Publish the mail's failure, if it failed, and commit its outcome. Raises `DependencyUnavailable`.

        The outcome stays in the cache of mails in progress. If its status is in `WITHOUT_OUTCOME`, the mail
        was not sent and is removed from the cache.
        """
        await self.record_outcome(delivery, outcome)
        self._failures.remove(delivery.key)
        self._in_progress.mark_committed(delivery.key)

    async def return_to_reserved(self, delivery: Delivery) -> None:
        """Set a mail back to `reserved` and end its lease, so that it can be sent again.

        Called when the server's reply was a rate limit. Raises `DependencyUnavailable` if the database does
        not answer.
        """
        try:
            async with asyncio.timeout(RELEASE_SECONDS):
                await self._store.release([(delivery, True)])
        except TimeoutError as error:
            raise DependencyUnavailable("database", "database does not answer in time") from error
        self._in_progress.discard(delivery.key)

    async def release(self, deliveries: Sequence[Delivery]) -> None:
        """Release the leases of those mails in `deliveries` that were certainly not sent.

        If the database fails, that is only logged, because Kafka redelivers the records of these mails.
        """
        unsent = [
            (each, each.key in self._in_progress)
            for each in deliveries
            if self._in_progress.is_unsent(each.key)
        ]
        try:
            async with asyncio.timeout(RELEASE_SECONDS):
                await self._store.release(unsent)
        except (Failure, TimeoutError):
            self._log.warning("reservations not released", mails=len(unsent))
        else:
            for delivery, _ in unsent:
                self._in_progress.discard(delivery.key)

    async def record_outcome(self, delivery: Delivery, outcome: MailOutcome) -> None:
        """Write a mail's outcome to the database. If the mail was not sent, first publish a failure.

        Raises `DependencyUnavailable`.
        """
        with record_context(delivery.record):
            if outcome.status is not MailStatus.SENT:
                await self._publisher.publish(
                    delivery.record,
                    delivery.kind,
                    outcome.reason,
                    f"smtp.{outcome.status}",
                    final=_is_final(outcome.status, delivery.kind),
                    queue_id=delivery.queue_id,
                )
            if outcome.status is not MailStatus.DEAD:
                self._breaker.count(good=1)
            elif outcome.phase is not Phase.RCPT:  # a refused recipient does not indicate a fault of ours
                self._breaker.count(dead=1)
            state = await self._store.write_outcome(delivery, outcome)
            if state:
                metrics.MAILS.labels(kind=delivery.kind, outcome=state).inc()
                self._recent.record(delivery.kind, state, outcome.quote or outcome.reason, time.monotonic())
            self._log.info(
                "SMTP mail outcome stored" if state else "SMTP mail outcome stored by another process",
                lead_id=str(delivery.lead.lead_id),
                kind=delivery.kind,
                outcome=state or str(outcome.status),
                reason=outcome.reason,
            )

    async def _send(self, delivery: Delivery, started_at: float, others: OtherLeads) -> MailOutcome:
        try:
            identity = self._identities.of(delivery.lead.site)
            mail = compose(delivery.kind, delivery.lead, identity, datetime.now(UTC), others)
        except UndeliverableError as error:
            return MailOutcome(MailStatus.DEAD, error.reason)
        with (
            record_context(delivery.record),
            span(f"smtp {delivery.kind}", SpanKind.CLIENT) as smtp_span,
            metrics.MAIL_SECONDS.time(),
        ):

            def review(outcome: MailOutcome) -> MailOutcome:
                if self._streak.record_outcome(outcome, mail.recipients):
                    return replace(outcome, status=MailStatus.UNAVAILABLE, cause=ALL_RECIPIENTS_REFUSED)
                return outcome

            outcome = await self._mailer.send(mail, lambda: self._store.begin_sending(delivery), review)
            self._pacing.record_outcome(delivery.key, outcome, started_at)
            smtp_span.set_attributes(span_attributes(outcome))
            return outcome


def _is_final(status: MailStatus, kind: Kind) -> bool:
    """Return True if no retry follows this failure of a mail.

    If the outcome is `unknown`, the flusher retries an alert, but not a welcome.
    """
    return status is MailStatus.DEAD or (status is MailStatus.UNKNOWN and kind == "welcome")
