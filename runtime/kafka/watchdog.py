"""Watching a consumer: its lag, silent brokers, and a lack of progress."""

import asyncio
import time
from typing import Final

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaConnectionError, KafkaError

from runtime import metrics
from runtime.kafka.broker import SILENCE_SECONDS
from runtime.kafka.positions import lag
from runtime.workarounds.aiokafka_metadata import seconds_since_answer
from runtime.workarounds.aiokafka_offsets import fetch_committed, fetch_offsets

# Lag without progress for this time, and without a pause, means a dead coordinator task or a member that
# never rejoined (aiokafka #1154).
STALL_SECONDS: Final = 120.0
# Everything that a handler waits for has a timeout, so a batch that takes this long hangs because of a bug.
# The longest possible batch is a hundred mails on ten connections, 45 s each: 450 s.
HANG_SECONDS = 1800.0
MEASURE_SECONDS: Final = 15.0
REQUEST_SECONDS = 2.0


class ConsumerStalled(Exception):
    """The consumer has made no progress for too long. End the process, so that it is restarted."""


class Watchdog:
    """Detects a consumer that makes no progress. Times are monotonic seconds."""

    def __init__(self, silence_seconds: float = SILENCE_SECONDS) -> None:
        self._silence_seconds = silence_seconds
        self._reported: set[tuple[str, str]] = set()  # (topic, partition) with a lag metric
        self.record_progress()
        self._measure_at = 0.0

    def record_progress(self) -> None:
        """Record that a batch has ended, or that the consumer has paused on purpose."""
        self._progress_at = time.monotonic()

    def check_batch_age(self, started: float) -> None:
        """Raise `ConsumerStalled` if the batch that began at `started` has run longer than `HANG_SECONDS`."""
        if time.monotonic() - started > HANG_SECONDS:
            raise ConsumerStalled(f"one batch has been in progress for more than {HANG_SECONDS:.0f} s")

    async def check(self, consumer: AIOKafkaConsumer) -> None:
        """Check the consumer, and measure its lag every 15 s.

        Raises `ConsumerStalled` if there is lag but no progress. Raises `KafkaConnectionError` if no broker
        has answered for too long. After this error, the caller must replace the consumer.
        """
        if seconds_since_answer(consumer._client) > self._silence_seconds:  # noqa: SLF001 - aiokafka hides it
            raise KafkaConnectionError("no broker has answered for too long")
        if time.monotonic() >= self._measure_at:
            self._measure_at = time.monotonic() + MEASURE_SECONDS
            await self._measure_lag(consumer)

    async def _measure_lag(self, consumer: AIOKafkaConsumer) -> None:
        """Measure the lag with offsets from Kafka. Raise `ConsumerStalled` if there is lag but no progress.

        The consumer's own positions cannot be used: after its removal from the group, they show no lag.
        """
        assigned = consumer.assignment()
        starts = await fetch_offsets(consumer.beginning_offsets, assigned, REQUEST_SECONDS)
        ends = await fetch_offsets(consumer.end_offsets, starts, REQUEST_SECONDS)
        if assigned and not ends:
            return  # the readiness check reports it
        try:
            async with asyncio.timeout(REQUEST_SECONDS):
                committed = await fetch_committed(consumer, ends)
        except (KafkaError, TimeoutError):
            return
        behind = {each: lag(committed[each], starts[each], end) for each, end in ends.items()}
        lags = {(each.topic, str(each.partition)): records for each, records in behind.items()}
        current = {(each.topic, str(each.partition)) for each in assigned}
        # An assigned partition that does not answer retains its last lag.
        for labels in self._reported - current:
            metrics.LAG.remove(*labels)
        for labels, records in lags.items():
            metrics.LAG.labels(*labels).set(records)
        self._reported = (self._reported & current) | lags.keys()
        if not any(lags.values()):
            self._progress_at = time.monotonic()
        elif time.monotonic() - self._progress_at > STALL_SECONDS:
            raise ConsumerStalled(
                f"{sum(lags.values())} records behind and no progress for {STALL_SECONDS} s"
            )
