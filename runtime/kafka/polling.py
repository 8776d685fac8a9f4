"""Takes records from aiokafka's consumer: polls while work is done, reads ahead, pauses, and goes back."""

import asyncio
import contextlib
import time
from collections.abc import Collection, Coroutine
from typing import Any, TypeVar

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from runtime.health import Health
from runtime.kafka.batch_processor import Batch, Record
from runtime.kafka.continuity import Continuity
from runtime.kafka.policy import Policy
from runtime.kafka.watchdog import Watchdog

Result = TypeVar("Result")


class Polling:
    """The records of one subscription. `ahead` are those that were read and not taken yet."""

    def __init__(self, subscriber: Any, policy: Policy, watch: Watchdog, health: Health) -> None:
        self._subscriber = subscriber
        self._policy = policy
        self._watch = watch
        self._health = health
        self._fault: BaseException | None = None
        self._held = dict[TopicPartition, float]()  # until when, monotonic
        self.ahead: list[Record] = []
        self.continuity = Continuity()

    @property
    def consumer(self) -> AIOKafkaConsumer:
        """Return the consumer of now. Raises `KafkaError` where none is open."""
        consumer = self._subscriber.consumer
        if consumer is None:
            raise KafkaError("the consumer is closed")
        return consumer

    def holds(self, topic: str, partition: int) -> bool:
        """Return True where the group has given us this partition."""
        consumer = self._subscriber.consumer
        return consumer is not None and TopicPartition(topic, partition) in consumer.assignment()

    async def take(self) -> list[Record]:
        """Return what was read ahead, else what is there or arrives within half a second."""
        if self._fault:  # of reading ahead: aiokafka may have passed over records, so its consumer must go
            fault, self._fault = self._fault, None
            raise fault
        if self._held:
            self._resume()
        if not self.ahead:  # in a rebalance a poll waits for the assignment, whenever that comes
            try:
                await asyncio.wait_for(self._read(0.5, self._policy.max_records), self._policy.take_seconds)
            except TimeoutError:
                self._health.set("consumer", ok=False, reason="waits for the group's assignment")
            else:
                if not self.ahead:  # the failing partition may have moved to another member
                    self._health.set("consumer", ok=True)
        taken, self.ahead = self.ahead, []
        return taken

    async def run(self, work: Coroutine[Any, Any, Result], room: int = 0) -> Result:
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
                    poll = asyncio.create_task(self._poll(room - len(self.ahead)))
                elif poll.done():
                    self._fault = fault
            return task.result()
        finally:
            poll.cancel()
            if not task.done():
                task.cancel()
                # Unwound before anything else begins: two handlers must not run at once.
                await asyncio.wait({task}, timeout=self._policy.stop_seconds)
            with contextlib.suppress(KafkaError):
                self._resume()

    async def _read(self, seconds: float, limit: int) -> None:
        # Cancelled at any moment it loses nothing: aiokafka hands out in one go, and then nothing waits.
        found = await self.consumer.getmany(timeout_ms=int(seconds * 1000), max_records=limit)
        self.ahead += [record for part in found.values() for record in part]
        self.continuity.look(self.consumer)

    async def _poll(self, room: int) -> None:
        """Read ahead, or, where there is no room for more, wait a little and poll with everything paused."""
        if room > 0:
            await self._read(self._policy.keepalive_seconds, room)
            return
        await asyncio.sleep(
            self._policy.keepalive_seconds
        )  # first: a poll drops what is there of paused ones
        self.consumer.pause(*self.consumer.assignment())
        # A rebalance gives back partitions that are not paused: what they hand out is put back.
        found = await self.consumer.getmany()
        self.rewind([record for part in found.values() for record in part])

    def put_back(self, records: Batch = ()) -> None:
        """Go back to these records and to all that was read ahead of them."""
        self.rewind([*records, *self.ahead])
        self.ahead.clear()

    def rewind(self, records: Batch) -> None:
        """Go back to the first of these records in every partition that is still ours."""
        first = dict[TopicPartition, int]()
        for record in records:
            first.setdefault(TopicPartition(record.topic, record.partition), record.offset)
        self.seek(first)

    def seek(self, places: dict[TopicPartition, int]) -> None:
        """Read on from these offsets in every partition that is still ours."""
        # Never from the assignment callback: records arrive before it ends.
        for partition in places.keys() & self.consumer.assignment():
            self.consumer.seek(partition, places[partition])

    def hold(self, places: Collection[tuple[str, int]], seconds: float, again: Batch) -> None:
        """Go back to these records of some partitions, and let those wait. The others are read on."""
        waiting = {TopicPartition(*place) for place in places} & self.consumer.assignment()
        self.ahead, passed = (
            [each for each in self.ahead if (TopicPartition(each.topic, each.partition) in waiting) is late]
            for late in (False, True)
        )
        self.rewind([*again, *passed])
        self._held |= dict.fromkeys(waiting, time.monotonic() + seconds)
        self.consumer.pause(*waiting)

    def _resume(self) -> None:
        """Read on in every partition that does not wait."""
        now = time.monotonic()
        self._held = {each: until for each, until in self._held.items() if until > now}
        self.consumer.resume(*self.consumer.assignment() - self._held.keys())
