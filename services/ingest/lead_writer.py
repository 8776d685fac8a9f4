"""Kafka first, then the disk: an accepted lead is in one of the two before anybody gets a 201.

Which one is decided here, by a breaker; how each of them works, in `publisher` and `spool`.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Final

from contracts import headers, topics
from runtime.failures import DependencyUnavailable, Failure
from runtime.health import Health
from runtime.logs import logger
from runtime.tracing.spans import producer_span, set_attributes
from services.ingest.lead_record import LeadRecord
from services.ingest.publisher import LeadPublisher
from services.ingest.spool.spool import Spool

# Leads in a row that Kafka did not acknowledge in time: from then on nobody waits for it.
FAILURES_TO_OPEN: Final = 3
# An open breaker tries Kafka with a lead this often, where the spool has none to try it with.
TRIAL_SECONDS: Final = 1.0
DRAIN_PAUSE_SECONDS: Final = 0.5
ADOPT_SECONDS: Final = 10.0
# Below half of what a readiness check may take: the spool is checked after it.
KAFKA_CHECK_SECONDS: Final = 0.5


class LeadWriter:
    """Makes leads durable, and brings what the spool holds to Kafka once that is back."""

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
        self._failures = 0
        self._trial_at = 0.0
        self._log = logger("intake")
        health.check("intake", self.check)

    @property
    def breaker(self) -> str:
        """Return `closed` while leads go to Kafka, `open` while they go to the disk at once."""
        return "open" if self._tripped or not self._publisher.connected else "closed"

    @property
    def _tripped(self) -> bool:
        return self._failures >= FAILURES_TO_OPEN

    async def check(self) -> None:
        """Return if a lead could be made durable now, in Kafka or on disk. Raises `DependencyUnavailable`."""
        if await self._kafka_answers():
            return
        try:
            await self._spool.check()
        except DependencyUnavailable as away:
            raise DependencyUnavailable("intake", f"kafka is away and {away.reason}") from away

    async def _kafka_answers(self) -> bool:
        try:
            async with asyncio.timeout(KAFKA_CHECK_SECONDS):
                await self._publisher.check()
        except (DependencyUnavailable, TimeoutError):
            return False
        return True

    async def publish(self, record: LeadRecord) -> None:
        """Return once the record is durable. Raises `DependencyUnavailable` if Kafka and disk fail."""
        tries_kafka = self._may_try_kafka()
        if tries_kafka and await self._in_kafka(record):
            return
        try:
            await self._spool.keep(record)
        except DependencyUnavailable:
            # A drain that cannot read its files closes no breaker: then a lead tries Kafka.
            if not tries_kafka and self._may_try_kafka(spool_fails=True) and await self._in_kafka(record):
                return
            raise
        set_attributes(spooled=True)

    async def _in_kafka(self, record: LeadRecord) -> bool:
        try:
            await self._publisher.publish(record)
        except DependencyUnavailable as away:
            self._failed(away)
            return False
        self._succeeded()
        return True

    def _may_try_kafka(self, *, spool_fails: bool = False) -> bool:
        if not self._publisher.connected:
            return False
        if not self._tripped:
            return True
        # The spool's own leads are the trial, where it has any: no visitor waits for it.
        if (self._spool.drainable and not spool_fails) or self._monotonic() < self._trial_at:
            return False
        self._trial_at = self._monotonic() + TRIAL_SECONDS
        return True

    def _failed(self, away: DependencyUnavailable) -> None:
        self._failures += 1
        if self._failures == FAILURES_TO_OPEN:
            self._log.warning("breaker open, leads go to the spool", reason=away.reason)

    def _succeeded(self) -> None:
        if self._tripped:
            self._log.info("breaker closed, leads go to kafka")
        self._failures = 0

    async def drain(self) -> None:
        """Publish what the spool holds and adopt what dead workers left, for ever."""
        adopt_at = 0.0
        while True:
            if self._monotonic() >= adopt_at:
                await self._adopt()
                adopt_at = self._monotonic() + ADOPT_SECONDS
            if self._publisher.connected:
                if self._spool.drainable:  # not its leads: a file that could not be read yet may hold some
                    await self._drain_once()
                elif self._tripped and await self._kafka_answers():
                    self._succeeded()
            await asyncio.sleep(DRAIN_PAUSE_SECONDS)

    async def _adopt(self) -> None:
        try:
            await self._spool.adopt()
        except OSError as error:
            self._log.error("spool not read", reason=type(error).__name__, errno=error.errno)

    async def _drain_once(self) -> None:
        before, started = self._spool.leads, self._monotonic()
        try:
            await self._spool.drain(self._publish_spooled)
        except Failure as failure:
            self._log.warning("spool not drained", leads=self._spool.leads, reason=failure.reason)
        except OSError as error:
            self._log.error("spool not drained", reason=type(error).__name__, errno=error.errno)
        else:
            seconds = round(self._monotonic() - started, 1)
            self._log.info("spool drained", leads=before, seconds=seconds)

    async def _publish_spooled(self, record: LeadRecord) -> None:
        # Byte for byte what was tried, with a word for the lead's timeline.
        spooled = record._replace(headers=[*record.headers, (headers.SPOOLED, b"true")])
        # Its headers name the span of the request; so does the span of this send.
        with producer_span(topics.RECEIVED.name, record.headers, record.key):
            await self._publisher.publish(spooled)
        self._succeeded()
