"""Committing offsets in the background, so that no batch waits for the commit of the previous one."""

import asyncio
import contextlib
import time
from collections import Counter
from typing import Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from runtime import metrics
from runtime.kafka.handler import Batch
from runtime.logs import logger

# The least time from the start of a commit to that of the next one. Without it, a consumer of 300 leads a
# second committed 70 times a second, beside the batches whose latency counts. After a crash, Kafka redelivers
# the records of this time too.
INTERVAL_SECONDS: Final = 0.1


class OffsetCommits:
    """Commits the offsets of completed records, one commit at a time, and at most ten times a second.

    Offsets that are added during a commit, or soon after it, are part of the next one. After a crash or a
    failed commit, Kafka redelivers the records, which every handler tolerates.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._flushing = asyncio.Event()  # do not wait before the next commit
        self._pending: dict[TopicPartition, int] = {}
        self._task: asyncio.Task[None] | None = None
        self._log = logger("consume")

    def add(self, consumer: AIOKafkaConsumer, completed: Batch) -> None:
        """Commit the offsets of these records in the background, and count the records in the metrics.

        Call it in the order in which the records were processed.
        """
        metrics.BATCH_RECORDS.observe(len(completed))
        for topic, count in Counter(record.topic for record in completed).items():
            metrics.RECORDS.labels(topic=topic).inc(count)
        self._pending |= {TopicPartition(r.topic, r.partition): r.offset + 1 for r in completed}
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._commit(consumer))

    async def flush(self, seconds: float) -> None:
        """Commit all offsets within `seconds`, without a pause. Then cancel the commit and drop the rest.

        A later commit of these offsets could undo the newer commit of another member.
        """
        task, self._task = self._task, None
        self._flushing.set()
        try:
            if task:
                await asyncio.wait({task}, timeout=seconds)
        finally:
            self._flushing.clear()
            if task:
                task.cancel()
            self._pending.clear()  # a later commit might undo what another member has committed since

    async def _commit(self, consumer: AIOKafkaConsumer) -> None:
        while self._pending:
            offsets, self._pending = self._pending, {}
            next_at = time.monotonic() + INTERVAL_SECONDS
            try:
                await asyncio.wait_for(consumer.commit(offsets), self._seconds)
            except (KafkaError, TimeoutError) as error:
                self._log.warning("offsets not committed", reason=type(error).__name__)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._flushing.wait(), next_at - time.monotonic())
