"""Sends the team the digests of new leads: one email lists the leads of a site for the same recipients.

Each alert that a digest lists keeps its row in `email_delivery`, with the states of a mail (ADR 0055). The
rows of one digest have the same Message-ID, and get their outcome together.
"""

import asyncio
import time
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final, cast
from uuid import UUID

from contracts.reasons import Reason
from runtime import metrics
from runtime.failures import Backoff, DependencyUnavailable, Failure, PermanentError
from runtime.kafka.failure_publisher import FailurePublisher
from runtime.kafka.handler import Record
from runtime.logs import logger
from services.notifier.digests.claimed_digest import ClaimedDigest, CollectedAlert
from services.notifier.digests.digest_store import DigestStore, ListChangedError
from services.notifier.digests.polling import send_repeatedly
from services.notifier.mail.alert_digest import NAME, AlertDigest, compose_alert_digest
from services.notifier.mail.identities import Identities
from services.notifier.mail.message import UndeliverableError
from services.notifier.mail.message import message_id as message_id_of
from services.notifier.sending.recent_outcomes import RecentOutcomes
from services.notifier.smtp.mailer import Mailer
from services.notifier.smtp.outcome import PROCESS_DIED, WITHOUT_OUTCOME, MailOutcome, MailStatus

POLL_SECONDS: Final = 5.0
# Three retries, as for an alert that is sent by itself (services/flusher/retries/retry_rules.py).
RETRY_SECONDS: Final = (300.0, 900.0, 3600.0)
UNAVAILABLE_SECONDS: Final = 60.0
RELEASE_SECONDS: Final = 5.0
CACHED_OUTCOMES: Final = 100


class AlertDigests:
    """Makes digests when they are due, and sends them. Several processes share the work."""

    def __init__(
        self,
        store: DigestStore,
        mailer: Mailer,
        publisher: FailurePublisher,
        identities: Identities,
        stopping: asyncio.Event,
        recent: RecentOutcomes,
        *,
        drain_seconds: float,
    ) -> None:
        """Set how long a stop waits at most for the digest that is being sent (`drain_seconds`)."""
        self._stopping = stopping
        self._recent = recent
        self._drain_seconds = drain_seconds
        self._store = store
        self._mailer = mailer
        self._publisher = publisher
        self._identities = identities
        self._sending = asyncio.Lock()
        # The records whose alerts the last digests listed, and the outcome. Prevents a second mail if a
        # failover to an asynchronous standby loses the outcome, also if another digest lists the alerts then.
        self._sent = dict[UUID, tuple[MailOutcome, frozenset[UUID]]]()
        self._log = logger("alert digest")

    async def run(self) -> None:
        """Send the digests that are due, every 5 seconds, until cancelled."""
        await send_repeatedly(self.send_due, POLL_SECONDS, self._log, "alert digests wait")

    async def drain(self) -> None:
        """Wait until the digest that is being sent has its outcome. Call it when the service stops."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self._drain_seconds), self._sending:
                pass

    async def send_due(self) -> int:
        """Try once to send each digest that is due, and return how many were sent.

        If the mail server cannot accept a digest now, the remaining digests wait too. Raises
        `DependencyUnavailable` if the database or Kafka does not answer or the service stops.
        """
        if not await self._store.has_work():
            return 0
        sent, due_at = 0, await self._store.make_digests()
        while True:
            async with self._sending:
                if not (digest := await self._store.claim(due_at)):
                    return sent
                outcome = await self._handle(digest)
            sent += outcome is not None and outcome.status is MailStatus.SENT
            if outcome and outcome.status in WITHOUT_OUTCOME:
                return sent

    async def _handle(self, digest: ClaimedDigest) -> MailOutcome | None:
        """Send a digest and record its outcome. Return None if it lists nothing, or is claimed again."""
        if not digest.alerts:
            await self._store.end_empty(digest)
            return None
        outcome: MailOutcome | None = None
        try:
            known = self._find_sent(digest)
            if known and len(known[1]) < len(digest.alerts):
                await self._store.record_sent(digest, known[1], known[0])
                return None
            outcome = known[0] if known else await self._outcome_of(digest)
            await self._record(digest, outcome)
        except ListChangedError:
            await self._store.release(digest, "", 0.0)
            return None
        except Failure as failure:
            if outcome is None or outcome.status not in (MailStatus.SENT, MailStatus.UNKNOWN):
                await self._try_to_release(digest, failure)
            raise
        return outcome

    def _find_sent(self, digest: ClaimedDigest) -> tuple[MailOutcome, list[CollectedAlert]] | None:
        """Return the alerts of a digest that this process has sent, and the outcome, or None."""
        for outcome, records in reversed(self._sent.values()):
            if alerts := [each for each in digest.alerts if each.record_id in records]:
                return outcome, alerts
        return None

    async def _outcome_of(self, digest: ClaimedDigest) -> MailOutcome:
        if digest.is_interrupted:
            return PROCESS_DIED
        identity = self._identities.of(digest.site)
        composed = AlertDigest(
            digest.digest_id,
            digest.site,
            digest.recipients,
            tuple(each.listed for each in digest.alerts),
            digest.part,
            digest.parts,
        )
        try:
            mail = compose_alert_digest(composed, identity, datetime.now(UTC))
        except UndeliverableError as error:
            return MailOutcome(MailStatus.DEAD, error.reason)
        except Exception as error:  # noqa: BLE001 - a bug in one digest must not stop the others
            metrics.BUGS.inc()
            self._log.exception("alert digest not composed", digest_id=str(digest.digest_id))
            return MailOutcome(MailStatus.WAITING, Reason.BUG.format(exception=type(error).__name__))
        message_id = message_id_of(digest.digest_id, NAME, identity.from_email)
        outcome = await self._mailer.send(mail, lambda: self._store.begin_sending(digest, message_id))
        if outcome.status is MailStatus.SENT:
            self._sent[digest.digest_id] = outcome, frozenset(each.record_id for each in digest.alerts)
            if len(self._sent) > CACHED_OUTCOMES:
                del self._sent[next(iter(self._sent))]
        return outcome

    async def _record(self, digest: ClaimedDigest, outcome: MailOutcome) -> None:
        """Write the outcome. Retry until the database and Kafka answer, or the service stops.

        Raises `DependencyUnavailable`.
        """
        backoff, attempt = Backoff(), 0
        while True:
            try:
                await self._write(digest, outcome)
                break
            except Failure as failure:
                is_lost = isinstance(failure, DependencyUnavailable) and failure.dependency == "lease"
                if is_lost or self._stopping.is_set():
                    raise
            await asyncio.sleep(backoff.seconds(attempt))
            attempt += 1
            with suppress(Failure):
                await self._store.renew(digest)
        if outcome.status not in WITHOUT_OUTCOME:
            metrics.MAILS.labels(kind=NAME, outcome=str(outcome.status)).inc()
            self._recent.record(
                "admin_alert", str(outcome.status), outcome.quote or outcome.reason, time.monotonic()
            )
            metrics.MAILS.labels(kind="admin_alert", outcome=str(outcome.status)).inc(len(digest.alerts))
        self._log.info(
            "alert digest",
            digest_id=str(digest.digest_id),
            site=digest.site,
            leads=len(digest.alerts),
            outcome=str(outcome.status),
            reason=outcome.pause_reason,
        )

    async def _write(self, digest: ClaimedDigest, outcome: MailOutcome) -> None:
        if outcome.status in WITHOUT_OUTCOME:
            await self._store.release(digest, outcome.pause_reason, UNAVAILABLE_SECONDS)
        elif outcome.status is MailStatus.SENT:
            await self._store.end(digest, outcome)
        elif outcome.status is not MailStatus.DEAD and digest.attempts < len(RETRY_SECONDS):
            await self._store.repeat(digest, outcome, RETRY_SECONDS[digest.attempts])
        else:
            await self._publish_failures(digest, outcome)
            is_unknown = outcome.status is MailStatus.UNKNOWN
            await self._store.end(digest, outcome if is_unknown else replace(outcome, status=MailStatus.DEAD))

    async def _publish_failures(self, digest: ClaimedDigest, outcome: MailOutcome) -> None:
        """Publish a final failure for each alert, so that a person can send it again.

        If the process dies before the outcome is committed, the failures are published again with the same
        event ids, so that the flusher ignores them.
        """
        status = MailStatus.UNKNOWN if outcome.status is MailStatus.UNKNOWN else MailStatus.DEAD
        await asyncio.gather(
            *(self._publish_failure(each, outcome.reason, f"smtp.{status}") for each in digest.alerts)
        )

    async def _publish_failure(self, alert: CollectedAlert, reason: str, error: str) -> None:
        try:
            await self._publisher.publish(
                cast("Record", alert.record),
                "admin_alert",
                reason,
                error,
                final=True,
                queue_id=alert.queue_id,
            )
        except PermanentError:  # the other alerts of the digest still get their failures
            self._log.error("failure not published", lead_id=str(alert.lead_id))

    async def _try_to_release(self, digest: ClaimedDigest, failure: Failure) -> None:
        """Release a digest that was not sent. If the database fails, the lease ends by itself."""
        try:
            async with asyncio.timeout(RELEASE_SECONDS):
                await self._store.release(digest, failure.reason, 0.0)
        except (Failure, TimeoutError):
            self._log.warning("alert digest not released", digest_id=str(digest.digest_id))
