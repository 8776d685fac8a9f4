"""Offsets, committed beside the loop: no batch waits for the commit of the one before it."""

import asyncio

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from runtime.kafka.batch_processor import Batch
from runtime.logs import logger


class OffsetCommits:
    """Commits what was handled, one commit at a time; what is handled meanwhile goes with the next one.

    A crash before a commit, or one that fails, costs a redelivery, which every handler bears.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._waiting: dict[TopicPartition, int] = {}
        self._task: asyncio.Task[None] | None = None
        self._log = logger("consume")

    def add(self, consumer: AIOKafkaConsumer, handled: Batch) -> None:
        """Commit these, soon. Call it in the order in which they were handled."""
        self._waiting |= {TopicPartition(r.topic, r.partition): r.offset + 1 for r in handled}
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._commit(consumer))

    async def flush(self, seconds: float) -> None:
        """Return when nothing is to be committed any more; what takes longer than this is given up."""
        task, self._task = self._task, None
        try:
            if task:
                await asyncio.wait({task}, timeout=seconds)
        finally:
            if task:
                task.cancel()
            self._waiting.clear()  # later it might undo what another member has committed since

    async def _commit(self, consumer: AIOKafkaConsumer) -> None:
        while self._waiting:
            offsets, self._waiting = self._waiting, {}
            try:
                await asyncio.wait_for(consumer.commit(offsets), self._seconds)
            except (KafkaError, TimeoutError) as error:
                self._log.warning("offsets not committed", reason=type(error).__name__)
