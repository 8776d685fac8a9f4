"""Reading records from the consumer: polling, prefetching, pausing and rewinding partitions."""

import asyncio
import contextlib
import time
from collections.abc import Collection, Coroutine
from typing import Any, Final, TypeVar

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from runtime import metrics
from runtime.failures import DependencyUnavailable
from runtime.health import Health
from runtime.kafka.connection import GroupConnection
from runtime.kafka.handler import Batch, Record
from runtime.kafka.policy import Policy
from runtime.kafka.watchdog import Watchdog
from runtime.logs import logger
from runtime.tasks import seconds_to_next

Result = TypeVar("Result")

# How long one poll waits for records. Below `Policy.take_seconds`, which a poll exceeds only in a rebalance.
POLL_SECONDS = 2.0
# A fetch is answered after a second at most (`Policy.idle_fetch_seconds`). Kafka needs longer than this to
# elect another leader.
GAP_MS: Final = 2000


class FetchGaps:
    """Detects gaps: periods of more than 2 s in which no fetch of a partition was answered.

    A log can lose its last records, or be created again, only while no broker serves it. Then no fetch is
    answered, so the log may have been replaced during a gap. aiokafka reconnects by itself and does not
    report gaps. Call `update` after each answer to a fetch: several polls may see only the last of them.

    After a comparison of the logs, the first answer is a gap if it is late. But if the comparison followed a
    gap, that answer may be late: otherwise a consumer with slow brokers would compare forever.
    """

    def __init__(self) -> None:
        self._answered_at = dict[TopicPartition, int]()
        self._confirmed = set[TopicPartition]()
        self._confirmed_at = 0
        self._may_be_late = False
        self.found = False

    def update(self, consumer: AIOKafkaConsumer) -> None:
        """Set `found` to True if a fetch of a partition was answered after a gap."""
        for partition in consumer.assignment():
            at = consumer.last_poll_timestamp(partition) or 0
            before = self._answered_at.get(partition, at)
            self._answered_at[partition] = at
            if at == before:
                continue
            if partition in self._confirmed:
                self._confirmed.discard(partition)
                if not self._may_be_late and at - self._confirmed_at > GAP_MS:
                    self.found = True
            elif abs(at - before) > GAP_MS:
                self.found = True

    def confirm(self, consumer: AIOKafkaConsumer) -> None:
        """Forget all earlier gaps.

        Call it after the assigned partitions have been compared with the ledger.
        """
        self.update(consumer)
        self._confirmed, self._confirmed_at = set(consumer.assignment()), int(time.time() * 1000)
        self._may_be_late, self.found = self.found, False


class Prefetcher:
    """Polls the next batch while the current one is processed, and pauses and rewinds partitions."""

    def __init__(
        self, connection: GroupConnection, policy: Policy, watchdog: Watchdog, health: Health
    ) -> None:
        self._connection = connection
        self._policy = policy
        self._watchdog = watchdog
        self._health = health
        self._error: BaseException | None = None  # of a prefetch, raised before the next batch
        self._paused_until = dict[TopicPartition, float]()  # monotonic
        self._prefetched: list[Record] = []
        self._polling: asyncio.Task[None] | None = None  # by `next_batch`
        self._stopped = False
        self._pauses_in_a_row = 0  # of all partitions
        self._log = logger("consume")
        self.gaps = FetchGaps()

    @property
    def _consumer(self) -> AIOKafkaConsumer:
        return self._connection.consumer

    async def next_batch(self) -> list[Record]:
        """Return the prefetched records; if there are none, those that arrive within `POLL_SECONDS`.

        Returns earlier if a pause of partitions ends, or at `stop`. Raises the error of an earlier prefetch.
        The caller must then replace the consumer, because aiokafka may have skipped records.
        """
        if self._error:
            error, self._error = self._error, None
            raise error
        if self._paused_until:
            self._resume()
        # In a rebalance a poll waits for the assignment, however long that takes.
        if not self._prefetched and not self._stopped:
            await self._poll_idle()
        batch, self._prefetched = self._prefetched, []
        return batch

    async def _poll_idle(self) -> None:
        """Poll for the next records, and report whether the group has assigned partitions to this member."""
        pause_ends = min(self._paused_until.values(), default=float("inf"))
        seconds = max(0.0, min(seconds_to_next(POLL_SECONDS), pause_ends - time.monotonic()))
        polling = asyncio.create_task(self._fetch(seconds, self._policy.max_records))
        self._polling = polling
        try:
            ended, _ = await asyncio.wait({polling}, timeout=self._policy.take_seconds)
        finally:
            self._polling = None
            polling.cancel()
        if not ended:
            await asyncio.wait({polling}, timeout=self._policy.stop_seconds)  # its cancellation
            self._health.set("consumer", ok=False, reason="waits for the group's assignment")
        elif not polling.cancelled():
            polling.result()
            if not self._prefetched:  # the failing partition may have moved to another member
                self._health.set("consumer", ok=True)

    def stop(self) -> None:
        """End the poll of `next_batch`, and poll no more. `next_batch` then returns at once."""
        self._stopped = True
        if self._polling:
            self._polling.cancel()

    async def run_while_polling(self, work: Coroutine[Any, Any, Result], room: int = 0) -> Result:
        """Run `work` and return its result. Poll meanwhile, so that the group keeps this member.

        Prefetches up to `room` records, for two reasons. The records are decoded before they are needed.
        Prefetching also empties aiokafka's buffer: while the buffer holds records, aiokafka delays the next
        fetch by up to 100 ms. At 300 leads a second, this delay was half of a lead's latency.
        """
        task, started, pause = asyncio.create_task(work), time.monotonic(), self._policy.keepalive_seconds
        poll = asyncio.create_task(self._poll(room))
        try:
            while not task.done():
                self._watchdog.check_batch_age(started)
                # At most as long as `work`: in a rebalance the poll waits for the assignment, which waits
                # for `work`.
                waiting = {task} if self._error else {task, poll}
                await asyncio.wait(waiting, timeout=pause, return_when=asyncio.FIRST_COMPLETED)
                # An error of the prefetch is not one of the current batch, which is finished first.
                if poll.done() and not (error := poll.exception()):
                    poll = asyncio.create_task(self._poll(room - len(self._prefetched)))
                elif poll.done():
                    self._error = error
            return task.result()
        finally:
            poll.cancel()
            if not task.done():
                task.cancel()
                # End it before anything else starts: two handlers must not run at once.
                await asyncio.wait({task}, timeout=self._policy.stop_seconds)
            with contextlib.suppress(KafkaError):
                self._resume()

    def record_fetch(self) -> None:
        """Record that a fetch was answered, with or without records."""
        with contextlib.suppress(KafkaError):  # the consumer is closed
            self.gaps.update(self._consumer)

    def discard(self) -> None:
        """Forget the prefetched records without seeking back to them."""
        self._prefetched.clear()

    def rewind(self, records: Batch = ()) -> None:
        """Drop the prefetched records, and seek back so that they and `records` are read again.

        Partitions that are no longer assigned are left out.
        """
        self._seek_to_first([*records, *self._prefetched])
        self._prefetched.clear()

    def seek(self, offsets: dict[TopicPartition, int]) -> None:
        """Continue at these offsets, in every partition that is still assigned."""
        # Never from the assignment callback: records arrive before it ends.
        found = offsets.keys() & self._consumer.assignment()
        for partition in found:
            self._consumer.seek(partition, offsets[partition])
        if found:
            self._connection.abandon_fetches()

    def pause(self, partitions: Collection[tuple[str, int]], seconds: float, redelivered: Batch) -> None:
        """Pause these partitions for `seconds`, and seek back to the `redelivered` records.

        Prefetched records of these partitions are read again later. Other partitions continue.
        """
        paused = {TopicPartition(*each) for each in partitions} & self._consumer.assignment()
        self._prefetched, dropped = (
            [
                each
                for each in self._prefetched
                if (TopicPartition(each.topic, each.partition) in paused) is drop
            ]
            for drop in (False, True)
        )
        self._seek_to_first([*redelivered, *dropped])
        self._paused_until |= dict.fromkeys(paused, time.monotonic() + seconds)
        self._consumer.pause(*paused)

    async def pause_all(self, error: DependencyUnavailable, stopping: asyncio.Event) -> None:
        """Pause all partitions for the backoff, or until `stopping` is set. `error` is the logged reason."""
        seconds = self._policy.backoff.seconds(self._pauses_in_a_row)
        self._pauses_in_a_row += 1
        metrics.PAUSES.labels(part=error.dependency).inc()
        self._health.set("consumer", ok=False, reason=f"paused: {error.reason}")
        self._log.warning("paused", part=error.dependency, reason=error.reason, seconds=round(seconds, 1))
        with contextlib.suppress(KafkaError, TimeoutError):
            await self.run_while_polling(asyncio.wait_for(stopping.wait(), seconds))

    def reset_backoff(self) -> None:
        """Make the next pause of all partitions a short one. Call it after a batch has succeeded."""
        self._pauses_in_a_row = 0

    async def _fetch(self, seconds: float, limit: int) -> None:
        # Cancelling it loses nothing: aiokafka hands out records in one step and does not wait afterwards.
        batches = await self._consumer.getmany(timeout_ms=int(seconds * 1000), max_records=limit)
        self._prefetched += [record for records in batches.values() for record in records]
        self.gaps.update(self._consumer)

    async def _poll(self, room: int) -> None:
        """Prefetch up to `room` records.

        If `room` is 0, poll without fetching: all partitions are paused, and the poll only keeps this member
        in the group.
        """
        if room > 0:
            await self._fetch(self._policy.keepalive_seconds, room)
            return
        # Wait first: a poll drops buffered records of paused partitions.
        await asyncio.sleep(self._policy.keepalive_seconds)
        self._consumer.pause(*self._consumer.assignment())
        # After a rebalance partitions are not paused any more: rewind to the records that they return.
        batches = await self._consumer.getmany()
        self._seek_to_first([record for records in batches.values() for record in records])

    def _seek_to_first(self, records: Batch) -> None:
        first = dict[TopicPartition, int]()
        for record in records:
            first.setdefault(TopicPartition(record.topic, record.partition), record.offset)
        self.seek(first)

    def _resume(self) -> None:
        """Resume every partition whose pause is over."""
        now = time.monotonic()
        self._paused_until = {each: until for each, until in self._paused_until.items() if until > now}
        self._consumer.resume(*self._consumer.assignment() - self._paused_until.keys())
