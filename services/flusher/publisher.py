"""Sends rows of the replay queue, and publishes dead letters.

Each call waits until Kafka has acknowledged the records. For a lead from a website's queue, it waits until
the gateway has answered.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from uuid import uuid4

from contracts.failures import HOOK_ORIGIN, SITE
from contracts.reasons import Reason
from runtime import metrics
from runtime.failures import DependencyUnavailable, PermanentError, RetryableError
from runtime.kafka.publisher import Publisher
from runtime.logs import logger
from runtime.tracing.spans import producer_span
from services.flusher.retries.hook_leads import corrected_lead
from services.flusher.retries.retry_rules import OutgoingRecord, Row, SendResult, replay_record

SEND_SECONDS = 10.0
ARCHIVE_SECONDS = 2.0


class ReplayPublisher:
    """Sends rows of the replay queue and publishes dead letters, each within a time limit.

    `deliver` is the function that posts a lead from a website's queue to the gateway.
    """

    def __init__(self, publisher: Publisher, deliver: Callable[[Row], Awaitable[None]]) -> None:
        self._publisher = publisher
        self._deliver = deliver
        self._log = logger("replay")

    @property
    def connected(self) -> bool:
        """Return True if Kafka is connected, so that a send can be tried at once."""
        return self._publisher.connected

    async def send(self, rows: Sequence[Row], now: datetime) -> SendResult:
        """Send these rows concurrently and return their results. A failed row does not affect the others."""
        result = SendResult()

        async def send_row(row: Row) -> None:
            event_id = uuid4()
            try:
                if row.stage == SITE and row.origin_topic.startswith(HOOK_ORIGIN):
                    await self._send(corrected_lead(row))
                elif row.stage == SITE:
                    await self._deliver(row)
                else:
                    await self._send(replay_record(row, event_id, now))
            except DependencyUnavailable as error:
                result.unavailable.append((row, error))
            except RetryableError as error:
                result.refused.append((row, error.reason))
            except PermanentError as error:
                result.unsendable.append((row, error.reason))
            except Exception as error:  # noqa: BLE001 - a faulty row must not block the others
                metrics.BUGS.inc()
                self._log.error("Queue row cannot be sent", queue_id=str(row.id), exc_info=True)
                result.unsendable.append((row, Reason.BUG.format(exception=type(error).__name__)))
            else:
                (result.delivered if row.stage == SITE else result.acknowledged).append((row, event_id))

        await asyncio.gather(*map(send_row, rows))
        return result

    async def publish_dead_letters_bounded(self, dead_letters: Sequence[OutgoingRecord]) -> None:
        """Publish dead letters within `ARCHIVE_SECONDS`. Raises `DependencyUnavailable`."""
        try:
            async with asyncio.timeout(ARCHIVE_SECONDS):
                await self.publish_dead_letters(dead_letters)
        except TimeoutError:
            raise DependencyUnavailable("kafka", "kafka did not acknowledge a dead letter in time") from None

    async def publish_dead_letters(self, dead_letters: Sequence[OutgoingRecord]) -> None:
        """Publish dead letters to `leads.dead.v1`. Raises `DependencyUnavailable`."""
        await asyncio.gather(*map(self._publish_dead_letter, dead_letters))

    async def _publish_dead_letter(self, dead_letter: OutgoingRecord) -> None:
        try:
            await self._send(dead_letter)
        except PermanentError as error:
            # The topic never accepts this record. Its row keeps the bytes.
            self._log.error("Queue row is dead, Kafka refused its dead letter", reason=error.reason)

    async def _send(self, record: OutgoingRecord) -> None:
        with producer_span(record.topic, record.headers, record.key) as carried:
            await self._publisher.send(
                record.topic,
                key=record.key,
                value=record.value,
                headers=carried,
                seconds=SEND_SECONDS,
            )
