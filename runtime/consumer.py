"""The one way that records are taken from Kafka. No decision about a record's meaning lives here.

FastStream's own loop commits past what failed, skips a batch with an odd header and rewinds without
a delay (see docs/decisions/0003); so its subscriber has no handler, and this loop reads its consumer:
commits of what was handled, a pause on a fault of the world, bisection on a fault of the data.
"""

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Collection, Coroutine
from typing import Any

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import KafkaError
from faststream import AckPolicy
from faststream.kafka import KafkaBroker

from runtime import metrics
from runtime.closing import close_for_good
from runtime.commits import Commits
from runtime.continuity import Continuity
from runtime.delivery import Batch, Delivery, Handler, Record
from runtime.failures import Held, SeekBack, WorldAway
from runtime.health import Health
from runtime.logs import logger
from runtime.policy import Policy
from runtime.rebootstrap import ask_brokers
from runtime.reconcile import INTERVAL_SECONDS, Reconciler
from runtime.tracing import handling
from runtime.watch import Watch


class Consumer(ConsumerRebalanceListener):  # type: ignore[misc]
    """Reads the topics of one group and hands batches to a handler."""

    def __init__(
        self,
        broker: KafkaBroker,
        topics: Collection[str],
        group: str,
        health: Health,
        policy: Policy | None = None,
        prefix: str = "",
    ) -> None:
        self._broker = broker
        self._handler: Handler
        self._health = health
        self._policy = policy or Policy()
        self._log = logger("consume")
        self._idle = asyncio.Event()
        self._idle.set()
        self.stopping = asyncio.Event()
        self._watch = Watch(self._policy.silence_seconds)
        self._stopped = asyncio.Event()
        self._pauses_in_a_row = 0
        self._commits = Commits(self._policy.commit_seconds)
        self._ahead: list[Record] = []
        self._held = dict[TopicPartition, float]()  # until when, monotonic
        self._reconciler: Reconciler | None = None
        self._continuity = Continuity()
        self._compare_at = 0.0
        self._compared: Collection[TopicPartition] = ()
        self._fault: BaseException | None = None
        self._subscriber = broker.subscriber(
            *(prefix + topic for topic in topics),
            group_id=prefix + group,
            ack_policy=AckPolicy.MANUAL,
            auto_offset_reset="earliest",
            session_timeout_ms=int(self._policy.session_seconds * 1000),
            rebalance_timeout_ms=int(self._policy.rebalance_seconds * 1000),
            fetch_max_wait_ms=int(self._policy.fetch_wait_seconds * 1000),
            max_poll_interval_ms=int(self._policy.max_poll_seconds * 1000),
            listener=self,
        )
        health.set("consumer", ok=False, reason="connecting")
        health.check("kafka", self._check_kafka)

    @property
    def _consumer(self) -> AIOKafkaConsumer:
        consumer = self._subscriber.consumer
        if consumer is None:
            raise KafkaError("the consumer is closed")
        return consumer

    async def _check_kafka(self) -> None:
        """Return if a broker answers the consumer now. Raises `WorldAway`."""
        consumer = self._subscriber.consumer
        if consumer is None:
            raise WorldAway("kafka", "connecting")
        await ask_brokers(consumer._client)  # noqa: SLF001 - aiokafka hides it

    async def run(self, handler: Handler, reconciler: Reconciler | None = None) -> None:
        """Hand batches to `handler` until `stopping` is set; come back from every loss of the broker.

        `reconciler` compares the ledger with Kafka first, and whenever either may have changed.
        """
        self._handler, self._reconciler, attempt = handler, reconciler, 0
        try:
            while not self.stopping.is_set():
                try:
                    await asyncio.wait_for(self._broker.start(), self._policy.start_seconds)
                    self._watch.progressed()
                    attempt = 0
                    self._health.set("consumer", ok=True)
                    self._compare_at = 0.0
                    while not self.stopping.is_set():
                        await self._step()
                except (KafkaError, OSError, TimeoutError) as error:
                    self._health.set("consumer", ok=False, reason=f"kafka: {type(error).__name__}")
                    self._log.warning("kafka connection lost", reason=type(error).__name__)
                finally:
                    self._ahead.clear()
                    await self._leave()
                await self._sleep(self._policy.backoff.seconds(attempt))
                attempt += 1
        finally:
            self._stopped.set()

    async def _leave(self) -> None:
        """End the last commit and leave the group: two fifths of the time each, and one for force."""
        fifth = self._policy.stop_seconds / 5
        try:
            await self._commits.settled(2 * fifth)
        finally:
            await self._disconnect(2 * fifth, fifth)

    async def _disconnect(self, seconds: float, by_force: float) -> None:
        """Stop the broker's consumer, by force where it does not stop in order: no member may stay behind."""
        consumer, stopped = self._subscriber.consumer, False
        try:
            await asyncio.wait_for(self._broker.stop(), seconds)
            stopped = True
        except Exception as error:  # noqa: BLE001 - FastStream wraps what it met in an ExceptionGroup
            self._log.warning("consumer not stopped in order", reason=type(error).__name__)
        finally:
            if consumer is not None and not stopped:
                await close_for_good(consumer, by_force)

    async def _step(self) -> None:
        await self._watch.look(self._consumer)
        if self._is_due() and not await self._compare():
            return
        if self._held:
            self._resume()
        records = await self._take()
        self._continuity.look(self._consumer)
        if self._is_due():  # the assignment or the log changed while we waited for these
            self._rewind(records)
            self._idle.set()
            return
        if not records:
            return
        started = time.monotonic()
        delivery = Delivery(self._handler, records, self._policy.backoff)
        try:
            with handling(records):
                await self._while_polling(delivery.run(), room=self._policy.max_records)
        except SeekBack as back:
            await self._go_back(delivery)
            self._log.warning("records do not continue the ledger", partitions=len(back.offsets))
            await self._compare(back)
        except WorldAway as away:
            await self._go_back(delivery)
            self._idle.set()
            if away.part == "database":
                self._compare_at = 0.0  # it may come back as an older one
            await self._pause(away)
        else:
            if delivery.held:
                self._hold(delivery, delivery.held)
            else:
                self._settle(records)
            self._pauses_in_a_row = 0
            self._health.set("consumer", ok=True)
            metrics.BATCH_SECONDS.observe(time.monotonic() - started)
        finally:
            self._watch.progressed()
            self._idle.set()

    def _is_due(self) -> bool:
        """Return True where the ledger must be compared with Kafka before more records are handled."""
        if self._reconciler is None:
            return False
        due = self._continuity.broken or time.monotonic() >= self._compare_at
        return due or self._consumer.assignment() != self._compared

    async def _compare(self, back: SeekBack | None = None) -> bool:
        """Have the ledger compared with Kafka, and go back where it says so; False where the stage paused."""
        if self._reconciler is None:
            return True
        self._idle.clear()
        self._compare_at = 0.0  # until it succeeds no record is handled
        assigned, targets = self._consumer.assignment(), dict[TopicPartition, int]()
        try:
            await self._commits.settled(self._policy.commit_seconds)  # none may come after the reconciler's
            await self._while_polling(self._reconcile(self._reconciler, back, targets))
        except WorldAway as away:
            self._idle.set()
            await self._pause(away)
            self._watch.progressed()
            return False
        finally:
            self._idle.set()
        if targets:
            self._watch.progressed()
        self._rewind(self._ahead)
        self._ahead.clear()
        self._seek(targets)
        self._compare_at, self._compared = time.monotonic() + INTERVAL_SECONDS, assigned
        self._continuity.checked(self._consumer)
        return True

    async def _reconcile(
        self, reconciler: Reconciler, back: SeekBack | None, targets: dict[TopicPartition, int]
    ) -> None:
        if back:
            targets |= {TopicPartition(*each): offset for each, offset in back.offsets.items()}
        targets |= await reconciler.run(self._consumer, back.other_logs if back else ())

    def _settle(self, records: Batch) -> None:
        """Have these committed, which are done."""
        self._commits.add(self._consumer, records)
        metrics.BATCH_RECORDS.observe(len(records))
        for topic, count in Counter(record.topic for record in records).items():
            metrics.RECORDS.labels(topic=topic).inc(count)

    async def _go_back(self, delivery: Delivery) -> None:
        """Commit the records that are done, and go back for the others and all that came after."""
        done, again = delivery.split()
        if done:
            self._settle(done)
        await self._commits.settled(self._policy.commit_seconds)
        self._rewind([*again, *self._ahead])
        self._ahead.clear()

    def _hold(self, delivery: Delivery, held: Held) -> None:
        """Commit the records that are done, and let the partitions of the others wait. The rest goes on."""
        done, again = delivery.split()
        if done:
            self._settle(done)
        waiting = {TopicPartition(*place) for place in held.offsets} & self._consumer.assignment()
        self._ahead, passed = (
            [each for each in self._ahead if (TopicPartition(each.topic, each.partition) in waiting) is late]
            for late in (False, True)
        )
        self._rewind([*again, *passed])
        self._held |= dict.fromkeys(waiting, time.monotonic() + held.seconds)
        self._consumer.pause(*waiting)
        self._log.info("partitions wait for another process", partitions=len(waiting), seconds=held.seconds)

    def _resume(self) -> None:
        """Read on in every partition that does not wait for another process."""
        now = time.monotonic()
        self._held = {each: until for each, until in self._held.items() if until > now}
        self._consumer.resume(*self._consumer.assignment() - self._held.keys())

    async def _take(self) -> list[Record]:
        """Return what was read ahead, else what is there or arrives within half a second."""
        if self._fault:  # of reading ahead: aiokafka may have passed over records, so its consumer must go
            fault, self._fault = self._fault, None
            raise fault
        if not self._ahead:  # in a rebalance a poll waits for the assignment, whenever that comes
            try:
                await asyncio.wait_for(self._read(0.5, self._policy.max_records), self._policy.take_seconds)
            except TimeoutError:
                self._health.set("consumer", ok=False, reason="waits for the group's assignment")
            else:
                if not self._ahead:  # the failing partition may have moved to another member
                    self._health.set("consumer", ok=True)
        taken, self._ahead = self._ahead, []
        if taken:
            self._idle.clear()  # at once: a rebalance waits for these from the moment in which we have them
        return taken

    async def _read(self, seconds: float, limit: int) -> None:
        # Cancelled at any moment it loses nothing: aiokafka hands out in one go, and then nothing waits.
        found = await self._consumer.getmany(timeout_ms=int(seconds * 1000), max_records=limit)
        self._continuity.look(self._consumer)
        self._ahead += [record for part in found.values() for record in part]

    async def _while_polling(self, work: Coroutine[Any, Any, None], room: int = 0) -> None:
        """Run `work` and keep polling, so that the group keeps us; up to `room` records are read ahead.

        Records that wait in aiokafka stop its fetches for 100 ms: a lead that came after them waited for two
        batches, half of its way at 300 a second. Read ahead, the next one is there, and decoded, at its turn.
        """
        task, began, pause = asyncio.create_task(work), time.monotonic(), self._policy.keepalive_seconds
        poll = asyncio.create_task(self._poll(room))
        try:
            while not task.done():
                self._watch.in_hand(began)
                # Not longer than the work: in a rebalance a poll waits for the assignment, and that for us.
                waiting = {task} if self._fault else {task, poll}
                await asyncio.wait(waiting, timeout=pause, return_when=asyncio.FIRST_COMPLETED)
                # What reading ahead met is no fault of the batch in hand, which is finished first.
                if poll.done() and not (fault := poll.exception()):
                    poll = asyncio.create_task(self._poll(room - len(self._ahead)))
                elif poll.done():
                    self._fault = fault
            task.result()
        finally:
            poll.cancel()
            if not task.done():
                task.cancel()
                # Unwound before anything else begins: two handlers must not run at once.
                await asyncio.wait({task}, timeout=self._policy.stop_seconds)
            with contextlib.suppress(KafkaError):
                self._resume()

    async def _poll(self, room: int) -> None:
        """Read ahead, or, where there is no room for more, wait a little and poll with everything paused."""
        if room > 0:
            await self._read(self._policy.keepalive_seconds, room)
            return
        await asyncio.sleep(
            self._policy.keepalive_seconds
        )  # first: a poll drops what is there of paused ones
        self._consumer.pause(*self._consumer.assignment())
        # A rebalance gives back partitions that are not paused: what they hand out is put back.
        found = await self._consumer.getmany()
        self._rewind([record for part in found.values() for record in part])

    def _rewind(self, records: Batch) -> None:
        """Go back to the first of these records in every partition that is still ours."""
        first = dict[TopicPartition, int]()
        for record in records:
            first.setdefault(TopicPartition(record.topic, record.partition), record.offset)
        self._seek(first)

    def _seek(self, places: dict[TopicPartition, int]) -> None:
        # Never from the assignment callback: records arrive before it ends.
        for partition in places.keys() & self._consumer.assignment():
            self._consumer.seek(partition, places[partition])

    def holds(self, topic: str, partition: int) -> bool:
        """Return True where the group has given us this partition."""
        consumer = self._subscriber.consumer
        return consumer is not None and TopicPartition(topic, partition) in consumer.assignment()

    async def _pause(self, away: WorldAway) -> None:
        seconds = self._policy.backoff.seconds(self._pauses_in_a_row)
        self._pauses_in_a_row += 1
        metrics.PAUSES.labels(part=away.part).inc()
        self._health.set("consumer", ok=False, reason=f"paused: {away.reason}")
        self._log.warning("paused", part=away.part, reason=away.reason, seconds=round(seconds, 1))
        with contextlib.suppress(KafkaError):
            await self._while_polling(self._sleep(seconds))

    async def _sleep(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.stopping.wait(), seconds)

    async def on_partitions_revoked(self, _: Collection[TopicPartition]) -> None:
        """Let the batch in hand end and commit before others get its partitions. Bounded."""
        self._ahead.clear()  # nothing comes to it now: polls wait for the assignment
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._idle.wait(), self._policy.drain_seconds)
        await self._commits.settled(self._policy.stop_seconds)

    async def on_partitions_assigned(self, assigned: Collection[TopicPartition]) -> None:
        """Say what we read. Nothing seeks here: records may arrive before this ends."""
        self._compare_at = 0.0
        self._log.info("assigned", partitions=sorted(f"{p.topic}/{p.partition}" for p in assigned))

    async def drain(self) -> None:
        """Take nothing more; wait, bounded, until the batch in hand is committed and the group left."""
        self.stopping.set()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stopped.wait(), self._policy.drain_seconds)
