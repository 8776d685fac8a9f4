"""Stores leads durably: in Kafka, or in the spool while Kafka is unavailable.

A circuit breaker chooses between the two. The modules `publisher` and `spool` do the writing.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Final

from contracts import headers, topics
from contracts.canary import canary_of
from contracts.lead_record import LeadRecord
from runtime.failures import DependencyUnavailable, Failure
from runtime.health import Health
from runtime.logs import logger
from runtime.tasks import seconds_to_next
from runtime.tracing.spans import producer_span, set_attributes
from services.ingest.publisher import LeadPublisher
from services.ingest.spool.spool import Spool

# Consecutive leads that Kafka did not acknowledge in time, after which the breaker opens.
FAILURES_TO_OPEN: Final = 3
# How often an open breaker tries Kafka with a new lead, if the spool has none to try it with.
TRIAL_SECONDS: Final = 1.0
DRAIN_PAUSE_SECONDS: Final = 0.5
IDLE_PAUSE_SECONDS: Final = 1.0
ADOPT_SECONDS: Final = 10.0
# Less than half of the time that a readiness check may take, because the spool is checked after Kafka.
KAFKA_CHECK_SECONDS: Final = 0.5
# Canaries do not go to a spool that is fuller: in a long outage, they would take the place of leads.
CANARY_SPOOL_SHARE: Final = 0.1


class LeadWriter:
    """Writes each lead to Kafka or to the spool, and moves spooled leads to Kafka when it works again."""

    def __init__(
        self,
        publisher: LeadPublisher,
        spool: Spool,
        health: Health,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._publisher = publisher
        self._spool = spool
        self._monotonic = monotonic
        self._consecutive_failures = 0
        self._next_trial_at = 0.0
        self._log = logger("intake")
        health.check("intake", self.check)

    @property
    def breaker(self) -> str:
        """`closed` while leads go to Kafka, `open` while they go straight to the spool."""
        return "open" if self._tripped or not self._publisher.connected else "closed"

    @property
    def _tripped(self) -> bool:
        return self._consecutive_failures >= FAILURES_TO_OPEN

    async def check(self) -> None:
        """Raise `DependencyUnavailable` if neither Kafka nor the spool can store a lead now."""
        if await self._is_kafka_available():
            return
        try:
            await self._spool.check()
        except DependencyUnavailable as error:
            raise DependencyUnavailable("intake", f"kafka is unavailable and {error.reason}") from error

    async def _is_kafka_available(self) -> bool:
        try:
            async with asyncio.timeout(KAFKA_CHECK_SECONDS):
                await self._publisher.check()
        except (DependencyUnavailable, TimeoutError):
            return False
        return True

    async def publish(self, record: LeadRecord) -> bool:
        """Return once the record is durable: True if Kafka has it, False if the spool has it.

        Raises `DependencyUnavailable` if both Kafka and the spool fail, or if the record is a canary and the
        spool has many leads. Raises `PermanentError` if Kafka never
        accepts the record.
        """
        tried_kafka = self._may_try_kafka()
        if tried_kafka and await self._publish_to_kafka(record):
            return True
        if canary_of(record.headers) and self._spool.used_share > CANARY_SPOOL_SHARE:
            raise DependencyUnavailable("kafka", "kafka is unavailable, and the spool is left to leads")
        try:
            await self._spool.append(record)
        except DependencyUnavailable:
            # A drain that cannot read its files never closes the breaker, so try Kafka with this lead.
            if (
                not tried_kafka
                and self._may_try_kafka(spool_failed=True)
                and await self._publish_to_kafka(record)
            ):
                return True
            raise
        set_attributes(spooled=True)
        return False

    async def _publish_to_kafka(self, record: LeadRecord) -> bool:
        try:
            await self._publisher.publish(record)
        except DependencyUnavailable as error:
            self._record_failure(error)
            return False
        self._record_success()
        return True

    def _may_try_kafka(self, *, spool_failed: bool = False) -> bool:
        if not self._publisher.connected:
            return False
        if not self._tripped:
            return True
        # If the spool holds leads, the drain tries Kafka with them, and no visitor has to wait for the trial.
        if (self._spool.drainable and not spool_failed) or self._monotonic() < self._next_trial_at:
            return False
        self._next_trial_at = self._monotonic() + TRIAL_SECONDS
        return True

    def _record_failure(self, error: DependencyUnavailable) -> None:
        self._consecutive_failures += 1
        if self._consecutive_failures == FAILURES_TO_OPEN:
            self._log.warning("breaker open, leads go to the spool", reason=error.reason)

    def _record_success(self) -> None:
        if self._tripped:
            self._log.info("breaker closed, leads go to kafka")
        self._consecutive_failures = 0

    async def run_drain(self) -> None:
        """Publish the spool's leads, and adopt the spool folders of dead workers, until cancelled."""
        adopt_at = 0.0
        while True:
            if self._monotonic() >= adopt_at:
                await self._adopt_folders()
                adopt_at = self._monotonic() + ADOPT_SECONDS
            if self._publisher.connected:
                if self._spool.drainable:  # rather than `leads`: an unreadable file may hold leads
                    await self._drain_once()
                elif self._tripped and await self._is_kafka_available():
                    self._record_success()
            is_idle = not self._spool.drainable and not self._tripped
            await asyncio.sleep(seconds_to_next(IDLE_PAUSE_SECONDS if is_idle else DRAIN_PAUSE_SECONDS))

    async def _adopt_folders(self) -> None:
        try:
            await self._spool.adopt()
        except OSError as error:
            self._log.error("spool not read", reason=type(error).__name__, errno=error.errno)

    async def _drain_once(self) -> None:
        leads, started_at = self._spool.leads, self._monotonic()
        try:
            await self._spool.drain(self._publish_spooled)
        except Failure as failure:
            self._log.warning("spool not drained", leads=self._spool.leads, reason=failure.reason)
        except OSError as error:
            self._log.error("spool not drained", reason=type(error).__name__, errno=error.errno)
        else:
            seconds = round(self._monotonic() - started_at, 1)
            self._log.info("spool drained", leads=leads, seconds=seconds)

    async def _publish_spooled(self, record: LeadRecord) -> None:
        # The same bytes as at the first attempt, and a header for the lead's timeline.
        spooled = record._replace(headers=[*record.headers, (headers.SPOOLED, b"true")])
        # The record's own headers name the span of the request, so link this span to it.
        with producer_span(topics.RECEIVED.name, record.headers, record.key):
            await self._publisher.publish(spooled)
        self._record_success()
