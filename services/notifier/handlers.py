"""What the notifier does with records: reserve their mails, send them, settle each. No SQL, no SMTP."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final

from opentelemetry.trace import SpanKind

from contracts.failures import Kind
from runtime import metrics
from runtime.database.breaker import CircuitBreaker
from runtime.failures import DependencyUnavailable, Failure, PartitionsBusy, PermanentError
from runtime.kafka.batch_processor import Record
from runtime.kafka.failure_publisher import FailurePublisher
from runtime.logs import logger
from runtime.tracing.spans import record_context, span
from services.notifier import batch_plan
from services.notifier.batch_plan import Delivery, Key
from services.notifier.batch_sender import BatchSender
from services.notifier.mail.message import Identity, Undeliverable, compose
from services.notifier.mails_in_progress import BegunMails, Holds
from services.notifier.smtp.mailer import Mailer
from services.notifier.smtp.outcome import (
    CRASHED,
    REFUSES_ALL,
    REFUSES_US,
    Outcome,
    Phase,
    Verdict,
    span_attributes,
)
from services.notifier.smtp.pacing import Pacing
from services.notifier.smtp.refusal_streak import RefusalStreak
from services.notifier.smtp.token_bucket import TokenBucket
from services.notifier.store import Store

# Behind RCPT a fault of the world that comes so often to one mail, while others pass, is that mail's.
WORLD_FAULTS_OF_ONE_MAIL: Final = 3
RELEASE_SECONDS: Final = 5.0


@dataclass
class Suspicion:
    """How often one mail met a fault of the world, and how many others had passed when it first did."""

    topic: str
    partition: int
    times: int
    passed_before: int
    welcomes_before: int


class Handler:
    """Sends mails.

    A failure is published before its outcome is committed, and both before the offset: a crash between
    them repeats the publication, which its event id makes a no-op. A mail once begun is finished,
    whoever waits for it, and its outcome is kept until it is committed: else it would be unknown.
    """

    def __init__(
        self,
        store: Store,
        mailer: Mailer,
        publisher: FailurePublisher,
        identity: Identity,
        stopping: asyncio.Event,
        breaker: CircuitBreaker,
        bucket: TokenBucket,
        *,
        connections: int,
        holds: Holds = lambda _topic, _partition: True,
    ) -> None:
        self._store = store
        self._mailer = mailer
        self._publisher = publisher
        self._identity = identity
        self._stopping = stopping
        self._breaker = breaker
        self._pacing = Pacing(bucket, stopping)
        self._streak = RefusalStreak(identity.admins)
        self._count = connections
        self._connections = asyncio.Semaphore(connections)
        self._holds = holds
        self._begun = BegunMails(holds)
        self._suspects = dict[Key, Suspicion]()
        self._passed = self._welcomes_passed = 0
        self._log = logger("notify")

    async def handle(self, records: Sequence[Record]) -> None:
        """Send what these records ask for. Raises `PartitionsBusy` for what another process has in hand."""
        self._forget_moved()
        batch = await self._store.reserve(batch_plan.read(records), records, list(self._begun))
        for delivery, _ in batch.suppressed:
            metrics.MAILS.labels(kind=delivery.kind, outcome="suppressed").inc()
        for delivery in batch.to_send:
            self._begun.forget_other(delivery)
        for delivery in batch.given_up:
            await self._finish(delivery, CRASHED)
        await self._send_all(batch.resumed + batch.to_send)
        if batch.waiting:
            raise PartitionsBusy(batch.waiting, batch.wait_seconds + 0.1)

    async def send_to_retry_queue(self, record: Record, failure: Failure) -> None:
        """Hand the mails of the one record at fault, as far as they are open, to the replay queue."""
        for _, lead in batch_plan.read([record]).leads:
            states = await self._store.states(lead.lead_id)
            for delivery in batch_plan.deliveries(record, lead, first=not states):
                state = states.get(delivery.kind)
                if state in (None, "reserved"):
                    final = isinstance(failure, PermanentError)
                    verdict = Verdict.DEAD if final else Verdict.WAITING
                    await self._finish(delivery, Outcome(verdict, failure.reason))
                elif state == "sending":
                    await self._finish(delivery, CRASHED)
        await self._store.count_parked(record)

    async def _send_all(self, deliveries: list[Delivery]) -> None:
        # Suspects last: whether the others pass shows whose fault it is.
        deliveries = sorted(deliveries, key=lambda each: self._times_of(each.key))
        batch = BatchSender(self, deliveries, self._connections, self._pacing, self._stopping)
        try:
            # Twice as many as connections: while one mail's outcome is written the next is sent.
            await batch.run(2 * self._count)
        finally:
            await self._release(batch.left)
        batch.raise_fault()

    async def attempt(self, delivery: Delivery, started_at: float) -> Outcome:
        """Send one mail, or go on waiting for one that is under way. Raises `DependencyUnavailable`."""
        task = self._begun.find(delivery)
        if task is None:
            # Before each mail, not each batch: a batch may be of more mails than may die in a row.
            await self._breaker.check()
            task = asyncio.create_task(self._transact(delivery, started_at))
            self._begun.add(delivery, task)
        # Shielded: a mail half-way, cancelled with its batch, would be unknown.
        outcome = await asyncio.shield(task)
        if outcome.verdict is Verdict.WORLD:
            if not self._is_its_own(delivery, outcome):
                raise DependencyUnavailable("smtp", outcome.reason_of_pause)
            outcome = replace(outcome, verdict=Verdict.WAITING)
        if outcome.verdict is Verdict.THROTTLED:
            if not self._pacing.is_of_one_mail(delivery.key):
                return outcome
            outcome = replace(outcome, verdict=Verdict.WAITING)
        self._passed += 1
        self._welcomes_passed += delivery.kind == "welcome" and outcome.verdict is Verdict.SENT
        return outcome

    async def conclude(self, delivery: Delivery, outcome: Outcome) -> None:
        """Commit an outcome. Raises `DependencyUnavailable`."""
        await self._finish(delivery, outcome)
        self._suspects.pop(delivery.key, None)
        self._begun.committed(delivery.key)

    def _forget_moved(self) -> None:
        self._begun.forget_moved()
        for key, suspicion in list(self._suspects.items()):
            if not self._holds(suspicion.topic, suspicion.partition):
                del self._suspects[key]

    async def take_back(self, delivery: Delivery) -> None:
        """Make a mail that met a rate limit one that was not begun. Raises `DependencyUnavailable`."""
        try:
            async with asyncio.timeout(RELEASE_SECONDS):
                await self._store.release([(delivery, True)])
        except TimeoutError as error:
            raise DependencyUnavailable("database", "database does not answer in time") from error
        self._begun.discard(delivery.key)

    async def _transact(self, delivery: Delivery, started_at: float) -> Outcome:
        try:
            mail = compose(delivery.kind, delivery.lead, self._identity, datetime.now(UTC))
        except Undeliverable as never:
            return Outcome(Verdict.DEAD, never.reason)
        with (
            record_context(delivery.record),
            span(f"smtp {delivery.kind}", SpanKind.CLIENT) as sending,
            metrics.MAIL_SECONDS.time(),
        ):
            outcome = await self._mailer.send(mail, lambda: self._store.begin_sending(delivery))
            if self._streak.is_about_us(outcome, mail.recipients):
                outcome = replace(outcome, verdict=Verdict.WORLD, cause=REFUSES_ALL)
            self._pacing.learn(delivery.key, outcome, started_at)
            sending.set_attributes(span_attributes(outcome))
            return outcome

    async def _finish(self, delivery: Delivery, outcome: Outcome) -> None:
        """Publish a failure, then commit the outcome."""
        with record_context(delivery.record):
            await self._settle(delivery, outcome)

    async def _settle(self, delivery: Delivery, outcome: Outcome) -> None:
        if outcome.verdict is not Verdict.SENT:
            await self._publisher.publish(
                delivery.record,
                delivery.kind,
                outcome.reason,
                f"smtp.{outcome.verdict}",
                final=_is_final(outcome.verdict, delivery.kind),
                queue_id=delivery.queue_id,
            )
        if outcome.verdict is not Verdict.DEAD:
            self._breaker.count(good=1)
        elif outcome.phase is not Phase.RCPT:  # a refused recipient says nothing of us
            self._breaker.count(dead=1)
        ours = await self._store.settle(delivery, outcome)
        if ours:
            metrics.MAILS.labels(kind=delivery.kind, outcome=str(outcome.verdict)).inc()
        self._log.info(
            "SMTP mail settled" if ours else "SMTP mail settled by another",
            lead_id=str(delivery.lead.lead_id),
            kind=delivery.kind,
            outcome=str(outcome.verdict),
            reason=outcome.reason,
        )

    async def _release(self, deliveries: list[Delivery]) -> None:
        """Give back what was certainly not sent; where that fails, the batch will come to it again."""
        free = [(each, each.key in self._begun) for each in deliveries if self._begun.is_free(each.key)]
        try:
            async with asyncio.timeout(RELEASE_SECONDS):
                await self._store.release(free)
        except (Failure, TimeoutError):
            self._log.warning("reservations not given back", mails=len(free))
        else:
            for delivery, _ in free:
                self._begun.discard(delivery.key)

    def _times_of(self, key: Key) -> int:
        return self._suspects[key].times if key in self._suspects else 0

    def _is_its_own(self, delivery: Delivery, outcome: Outcome) -> bool:
        """Return True where a fault of the world has come to one mail only, again and again."""
        if outcome.phase not in (Phase.RCPT, Phase.DATA, Phase.BODY):
            return False
        record = delivery.record
        suspicion = self._suspects.setdefault(
            delivery.key,
            Suspicion(record.topic, record.partition, 0, self._passed, self._welcomes_passed),
        )
        suspicion.times += 1
        if suspicion.times < WORLD_FAULTS_OF_ONE_MAIL:
            return False
        if outcome.cause == REFUSES_US:  # a relay that takes only mails to its own domain takes the alerts
            return self._welcomes_passed > suspicion.welcomes_before
        return self._passed > suspicion.passed_before


def _is_final(verdict: Verdict, kind: Kind) -> bool:
    """Return False where it is sent again by itself: an unknown alert is, an unknown welcome an admin's."""
    return verdict is Verdict.DEAD or (verdict is Verdict.UNKNOWN and kind == "welcome")
