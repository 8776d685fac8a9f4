"""What a consumer reports about itself: its lag, that no broker answers it, and that it makes no progress."""

import asyncio
import time

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaConnectionError, KafkaError

from runtime import metrics
from runtime.kafka.lag import lag
from runtime.kafka.log_offsets import fetch_offsets
from runtime.workarounds.aiokafka_rebootstrap import SILENCE_SECONDS, silent_seconds

# Lag and no progress for so long, without a pause: a dead coordinator task, a member that never
# rejoined (aiokafka #1154).
STALL_SECONDS = 120.0
# One batch in hand for so long: everything that a handler waits for has a bound, so it hangs where none
# should be. The longest is a hundred mails on ten connections, 45 s each: 450 s.
HANG_SECONDS = 1800.0
LOOK_SECONDS = 10.0
ASK_SECONDS = 2.0


class Stalled(Exception):
    """There is lag and no progress although nothing is paused: end the process, start afresh."""


class Watchdog:
    """Looks at a consumer while it is idle. Times are monotonic seconds."""

    def __init__(self, silence_seconds: float = SILENCE_SECONDS) -> None:
        self._silence_seconds = silence_seconds
        self._known: set[tuple[str, str]] = set()
        self.progressed()
        self._look_at = 0.0

    def progressed(self) -> None:
        """Note that a batch ended, or that the stage paused on purpose."""
        self._progress = time.monotonic()

    def in_hand(self, since: float) -> None:
        """Bear with one batch for as long as it may take. Raises `Stalled`."""
        if time.monotonic() - since > HANG_SECONDS:
            raise Stalled(f"one batch in hand for more than {HANG_SECONDS:.0f} s")

    async def look(self, consumer: AIOKafkaConsumer) -> None:
        """Measure the lag. Raises `Stalled`, and `KafkaConnectionError` for a client to be replaced."""
        if silent_seconds(consumer._client) > self._silence_seconds:  # noqa: SLF001 - aiokafka hides it
            raise KafkaConnectionError("no broker has answered for too long")
        if time.monotonic() >= self._look_at:
            self._look_at = time.monotonic() + LOOK_SECONDS
            await self._measure(consumer)

    async def _measure(self, consumer: AIOKafkaConsumer) -> None:
        """Ask Kafka, not our own memory: a member that was thrown out believes that it has no lag."""
        assigned = consumer.assignment()
        starts = await fetch_offsets(consumer.beginning_offsets, assigned, ASK_SECONDS)
        ends = await fetch_offsets(consumer.end_offsets, starts, ASK_SECONDS)
        if assigned and not ends:
            return  # readiness reports it
        try:
            async with asyncio.timeout(ASK_SECONDS):
                behind = {p: lag(await consumer.committed(p), starts[p], end) for p, end in ends.items()}
        except (KafkaError, TimeoutError):
            return
        labels = {(each.topic, str(each.partition)): records for each, records in behind.items()}
        held = {(each.topic, str(each.partition)) for each in assigned}
        for gone in self._known - held:  # one that does not answer keeps its last lag
            metrics.LAG.remove(*gone)
        for place, records in labels.items():
            metrics.LAG.labels(*place).set(records)
        self._known = (self._known & held) | labels.keys()
        if not any(labels.values()):
            self._progress = time.monotonic()
        elif time.monotonic() - self._progress > STALL_SECONDS:
            raise Stalled(f"{sum(labels.values())} records behind and no progress for {STALL_SECONDS} s")
