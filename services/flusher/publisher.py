"""Puts records on the retry and dead topics and waits for Kafka's word. No decision about them lives here."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from uuid import uuid4

from contracts.reasons import Reason
from runtime import metrics
from runtime.failures import DependencyUnavailable, PermanentError, RetryableError
from runtime.kafka.publisher import Publisher
from runtime.logs import logger
from runtime.tracing.spans import producer_span
from services.flusher.retries.retry_rules import SITE, OutgoingRecord, Row, SendResult, replay_record

SEND_SECONDS = 10.0
ARCHIVE_SECONDS = 2.0


class ReplayPublisher:
    """Publishes replays and dead letters; each send is bounded."""

    def __init__(self, publisher: Publisher, deliver: Callable[[Row], Awaitable[None]]) -> None:
        self._publisher = publisher
        self._deliver = deliver
        self._log = logger("replay")

    @property
    def connected(self) -> bool:
        """Return True where a send can be tried at once."""
        return self._publisher.connected

    async def replay(self, rows: Sequence[Row], now: datetime) -> SendResult:
        """Send these rows at once; what one of them does leaves the others alone."""
        sent = SendResult()

        async def one(row: Row) -> None:
            event_id = uuid4()
            try:
                if row.stage == SITE:
                    await self._deliver(row)
                else:
                    await self._send(replay_record(row, event_id, now))
            except DependencyUnavailable as away:
                sent.away.append((row, away))
            except RetryableError as failed:
                sent.refused.append((row, failed.reason))
            except PermanentError as never:
                sent.unsendable.append((row, never.reason))
            except Exception as error:  # noqa: BLE001 - one bad row must not hold up the others
                metrics.BUGS.inc()
                self._log.error("Queue row cannot be sent", queue_id=str(row.id), exc_info=True)
                sent.unsendable.append((row, Reason.BUG.format(exception=type(error).__name__)))
            else:
                (sent.delivered if row.stage == SITE else sent.acknowledged).append((row, event_id))

        await asyncio.gather(*map(one, rows))
        return sent

    async def publish_dead_letters_bounded(self, dead_letters: Sequence[OutgoingRecord]) -> None:
        """Publish the dead letters of these rows to `leads.dead.v1`. Raises `DependencyUnavailable`."""
        try:
            async with asyncio.timeout(ARCHIVE_SECONDS):
                await self.archive(dead_letters)
        except TimeoutError:
            raise DependencyUnavailable("kafka", "kafka did not acknowledge a dead letter in time") from None

    async def archive(self, dead_letters: Sequence[OutgoingRecord]) -> None:
        """Put dead letters on `leads.dead.v1`. Raises `DependencyUnavailable`."""
        await asyncio.gather(*map(self._archive, dead_letters))

    async def _archive(self, dead_letter: OutgoingRecord) -> None:
        try:
            await self._send(dead_letter)
        except PermanentError as never:
            # Its row keeps the bytes; nothing that we do makes the topic take them.
            self._log.error("Queue row is dead, its record not archived on Kafka", reason=never.reason)

    async def _send(self, record: OutgoingRecord) -> None:
        with producer_span(record.topic, record.headers, record.key) as carried:
            await self._publisher.send(
                record.topic,
                key=record.key,
                value=record.value,
                headers=carried,
                seconds=SEND_SECONDS,
            )
