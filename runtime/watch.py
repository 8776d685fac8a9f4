"""What a consumer says of itself: its lag, a broker that is silent, and that it stands still."""

import asyncio
import time

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError

from runtime import metrics
from runtime.health import Health
from runtime.lag import lag
from runtime.logs import logger

# With the broker away aiokafka hands out nothing and raises nothing. A fetch answers twice a second.
SILENCE_SECONDS = 5.0
# Lag and no progress for so long, without a pause: a dead coordinator task, a member that never
# rejoined (aiokafka #1154).
STALL_SECONDS = 120.0
# One batch in hand for so long: everything that a handler waits for has a bound, so it hangs where none
# should be. The longest is a hundred mails on ten connections, 45 s each: 450 s.
HANG_SECONDS = 1800.0
LOOK_SECONDS = 10.0
ASK_SECONDS = 5.0


class Stalled(Exception):
    """There is lag and no progress although nothing is paused: end the process, start afresh."""


class Watch:
    """Looks at a consumer while it is idle. Times are monotonic seconds."""

    def __init__(self, health: Health) -> None:
        self._health = health
        self._log = logger("consume")
        self._fetched_at: int | None = None
        self._known: set[tuple[str, str]] = set()
        self.progressed()
        self._look_at = 0.0

    def progressed(self) -> None:
        """Note that a batch ended, or that the stage paused on purpose."""
        self._progress = self._heard = time.monotonic()

    def in_hand(self, since: float) -> None:
        """Bear with one batch for as long as it may take. Raises `Stalled`."""
        if time.monotonic() - since > HANG_SECONDS:
            raise Stalled(f"one batch in hand for more than {HANG_SECONDS:.0f} s")

    async def look(self, consumer: AIOKafkaConsumer) -> None:
        """Tell readiness and metrics how the consumer stands. Raises `Stalled`."""
        self._listen(consumer)
        if time.monotonic() >= self._look_at:
            self._look_at = time.monotonic() + LOOK_SECONDS
            await self._measure(consumer)

    def _listen(self, consumer: AIOKafkaConsumer) -> None:
        fetched_at = max((consumer.last_poll_timestamp(p) or 0 for p in consumer.assignment()), default=None)
        if fetched_at != self._fetched_at:
            self._fetched_at, self._heard = fetched_at, time.monotonic()
            self._health.set("kafka", ok=True)
        silent = fetched_at is not None and time.monotonic() - self._heard > SILENCE_SECONDS
        if silent and self._health.set("kafka", ok=False, reason="kafka is silent"):
            self._log.warning("kafka is silent")

    async def _measure(self, consumer: AIOKafkaConsumer) -> None:
        """Ask Kafka, not our own memory: a member that was thrown out believes that it has no lag."""
        assigned = consumer.assignment()
        try:
            async with asyncio.timeout(ASK_SECONDS):
                starts = await consumer.beginning_offsets(assigned)
                ends = await consumer.end_offsets(assigned)
                behind = {p: lag(await consumer.committed(p), starts[p], ends[p]) for p in assigned}
        except (KafkaError, TimeoutError):
            return  # the silence says it
        labels = {(each.topic, str(each.partition)): records for each, records in behind.items()}
        for gone in self._known - labels.keys():
            metrics.LAG.remove(*gone)
        for place, records in labels.items():
            metrics.LAG.labels(*place).set(records)
        self._known = set(labels)
        if not any(labels.values()):
            self._progress = time.monotonic()
        elif time.monotonic() - self._progress > STALL_SECONDS:
            raise Stalled(f"{sum(labels.values())} records behind and no progress for {STALL_SECONDS} s")
