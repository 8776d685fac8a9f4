"""Runs one plan: the cluster, the database, the members of a stage and the events. Then it checks all."""

import asyncio
import contextlib
import logging
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random
from typing import Any, Final
from unittest import mock
from uuid import UUID

import structlog
from aiokafka import TopicPartition

from contracts import topics
from contracts.lead_events import ERASED
from runtime import logs, tasks
from runtime.failures import DependencyUnavailable
from runtime.kafka.publisher import Publisher
from runtime.reading_thread import ReadingThread
from runtime.settings import Kafka
from tests.schedules.broker.cluster import Cluster
from tests.schedules.database.lead_event_queries import EVENTS
from tests.schedules.database.pool import Opener
from tests.schedules.database.server import Database
from tests.schedules.faults import Faults
from tests.schedules.flusher.faults import QueueFaults
from tests.schedules.history import History
from tests.schedules.notifier.faults import MailFaults
from tests.schedules.notifier.smtp_server import SmtpServer
from tests.schedules.plan import Plan
from tests.schedules.records import Records
from tests.schedules.service_process import ServiceProcess
from tests.schedules.simulation.event_loop import Process, VirtualLoop, context_of, current_process
from tests.schedules.simulation.network import Network
from tests.schedules.simulation.run import run_virtual
from tests.schedules.stage import Stage
from tests.schedules.webhooks.faults import ReceiverFaults
from tests.schedules.webhooks.receivers import Arrival, Receivers

PUBLISH_SECONDS: Final = 2.0
# How long the database refuses some leads after the last event.
REFUSAL_SECONDS: Final = 5.0


# Events that give no member a reason to leave its group.
_HARMLESS_EVENTS: Final = (
    "publish",
    "stop_database",
    "hang_database",
    "slow_database",
    "lose_commit_reply",
    "fail_over_database",
    "stop_smtp",
    "fail_smtp",
    "resend",
    "stop_receiver",
    "fail_receiver",
    "forget_name",
    "change_lead",
    "erase_lead",
    "refuse_outcome",
    "resend_delivery",
    "request_retry",
)


@dataclass
class Outcome:
    """What became of a schedule."""

    plan: Plan
    violations: list[str]
    history: History
    seconds: float  # virtual, until all was quiet
    records: int = 0


@dataclass
class World(Faults, MailFaults, ReceiverFaults, QueueFaults):
    """Everything of one schedule."""

    plan: Plan
    stage: Stage
    loop: VirtualLoop
    network: Network
    history: History
    violations: list[str] = field(default_factory=list)
    members: list[ServiceProcess] = field(default_factory=list)
    others: set[asyncio.Task[Any]] = field(default_factory=set)
    unsure_until: float = 0.0  # until then the ledger may be behind the group, after a fault that loses data
    faults_until: float = 0.0
    expired: bool = False
    published: int = 0
    # The mails that the mail server has: lead, kind, and the record for which the process sent it.
    accepted: list[tuple[UUID, str, UUID | None]] = field(default_factory=list)

    unsent: set[UUID] = field(default_factory=set)  # the leads that were spam at some time
    resolved: set[UUID] = field(default_factory=set)  # the rows of the replay queue that a stage has handled
    changes: dict[UUID, list[UUID]] = field(default_factory=dict)  # what was in the outbox, by lead, in order
    refused_outcomes: set[UUID] = field(default_factory=set)  # the leads whose outcomes were refused

    def __post_init__(self) -> None:
        self.cluster = Cluster(self.network, self.plan.nodes, self.history.note)
        for topic in topics.ALL:
            self.cluster.create_topic(topic.name, self.plan.partitions)
        self.database = Database()
        self.records = Records(Random(self.plan.seed))
        self.database.refuses = lambda key: key in self.records.refused
        self.opener = Opener(self.database, self.stage.statements(), self.loop.rng)
        self.kafka = Kafka(bootstrap_servers=self.cluster.bootstrap_servers)
        self.group = self.cluster.group(topics.GROUPS[self.stage.name])
        self.group.on_commit = self._check_commit
        self.group.on_removed = self._check_removal
        self.cluster.on_fetch = self._check_fetch
        self.publisher = Publisher(self.kafka, "gateway")
        self.smtp = SmtpServer(self.network, self._note_mail)
        self.receivers = Receivers(self.network, self._note_arrival, self._find_erasure)

    # --- running ---------------------------------------------------------------------------------------

    async def run(self) -> Outcome:
        """Run the plan, and return what was found."""
        publishing = self._in_background(self.publisher.run(), Process("gateway"))
        beside = self.stage.beside
        helping = self._in_background(beside(self), Process("flusher")) if beside else None
        for _ in range(self.plan.members):
            self._add_member()
        for event in self.plan.events:
            await asyncio.sleep(max(0.0, event.at - (self.loop.time() - self.history.started)))
            self.history.note(f"{event.what} {' '.join(map(str, event.values + event.shapes))}", "schedule")
            if event.what == "publish":
                self._in_background(self._publish(event.shapes), Process("gateway"))
            else:
                self.others.add(asyncio.create_task(getattr(self, event.what)(*event.values)))
        while self.others:
            await asyncio.wait(self.others)
            for task in [each for each in self.others if each.done()]:
                task.result()
                self.others.discard(task)
        await asyncio.sleep(REFUSAL_SECONDS)
        self.records.refused.clear()  # somebody drops the trigger
        await self._wait_until_quiet()
        seconds = self.loop.time() - self.history.started
        await asyncio.gather(*(member.stop() for member in self.members))
        publishing.cancel()
        if helping:
            helping.cancel()
        self.violations += [failure for member in self.members for failure in member.failures]
        self.violations += self.stage.check(self)
        for error in self.receivers.errors:
            raise error
        return Outcome(self.plan, self.violations, self.history, seconds, self.published)

    def _in_background(self, work: Any, process: Process) -> asyncio.Task[Any]:
        task = self.loop.create_task(work, context=context_of(process))
        if process.name == "gateway" and work.__name__ == "_publish":
            self.others.add(task)
        return task

    def _add_member(self) -> ServiceProcess:
        number = len(self.members) + 1
        create_app = self.stage.create_app(self.kafka, self.opener, self.plan.batch_records)
        member = ServiceProcess(
            f"{self.stage.name}-{number}", create_app, self.loop, self.network, self.history.note
        )
        self.members.append(member)
        return member

    async def _publish(self, shapes: tuple[str, ...]) -> None:
        for shape in shapes:
            await self.publish_record(*self.records.make(shape))

    async def publish_record(
        self, topic: str, key: bytes, value: bytes | None, headers: list[tuple[str, bytes]]
    ) -> None:
        """Publish a record, and repeat that until Kafka has it, as the gateway's spool does."""
        while True:
            try:
                await self.publisher.send(
                    topic, key=key, value=value, headers=headers, seconds=PUBLISH_SECONDS
                )
            except DependencyUnavailable:
                await asyncio.sleep(1.0)
            else:
                self.published += 1
                break

    @property
    def lost_data(self) -> bool:
        """Return True after a fault that loses data."""
        return self.unsure_until > 0

    def _note_mail(self, process: Process, message_id: str) -> None:
        """Note a mail that the mail server accepted."""
        tag = message_id.strip("<>").partition("@")[0]
        lead_id, kind = UUID(tag.partition(".")[0]), tag.partition(".")[2]
        record_id = self.database.attempts.get((process, lead_id, kind))
        self.accepted.append((lead_id, kind, record_id))
        self.history.note(f"accepts the {kind} of lead {lead_id} from {process.name}", "smtp")

    def _note_arrival(self, arrival: Arrival) -> None:
        """Note a request that a receiver has read."""
        self.history.note(
            f"gets event {arrival.event_id} of lead {arrival.lead_id}: {arrival.way or 'accepted'}",
            arrival.destination,
        )

    def _find_erasure(self, reference: str) -> tuple[UUID, UUID]:
        """Return the event and the lead of an erasure, by the lead's reference."""
        return next(
            (row["id"], row["lead_id"])
            for row in self.database.rows(EVENTS)
            if row["type"] == ERASED and str(row["lead_id"]).endswith(reference)
        )

    async def _wait_until_quiet(self) -> None:
        """Wait until all records are handled and committed. If that takes too long, a member is stuck."""
        seconds = self.stage.quiet_seconds
        ends = max(self.loop.time(), self.faults_until) + seconds
        while unhandled := (behind := self.behind()) or self.stage.check(self):
            if self.loop.time() > ends:
                self.violations.append(
                    f"stuck: {seconds:g} s after the last fault, {'; '.join(unhandled[:4])}"
                )
                return
            # What remains once all is committed waits for retries, and looking at all rows takes long.
            await asyncio.sleep(1.0 if behind else 5.0)

    def behind(self) -> list[str]:
        """Return the partitions that the stage reads and whose records are not all committed."""
        found = list[str]()
        for partition, log in self.cluster.logs.items():
            if partition.topic in topics.consumed_by(self.stage.name) and log.end > log.start:
                committed = self.group.offsets.get(partition)
                if committed != log.end:
                    found.append(
                        f"{partition.topic}/{partition.partition} is committed to {committed} of {log.end}"
                    )
        return found

    def _check_commit(self, client: str, member_id: str, offsets: dict[TopicPartition, int]) -> None:
        owned = self.group.assigned_to(self.group.members[member_id])
        for partition, offset in offsets.items():
            if partition not in owned and self.group.state == "Stable":
                self.violations.append(
                    f"{client} committed {partition.topic}/{partition.partition}, which another member owns"
                )
            if self.loop.time() < self.unsure_until:
                continue
            counted = self.stage.counted(self, partition)
            if offset > counted:
                self.violations.append(
                    f"{client} committed {partition.topic}/{partition.partition} to {offset}, but only"
                    f" {counted} is stored"
                )

    def _check_removal(self, client: str, reason: str) -> None:
        """A member stays in its group, unless it stops or a fault of the schedule separates it."""
        member = next((each for each in self.members if each.name == client), None)
        separated = any(event.what not in _HARMLESS_EVENTS for event in self.plan.events)
        if member and not member.is_stopping and not separated:
            self.violations.append(f"{client} left the group while it was working: it {reason}")

    def _check_fetch(self, client: str, partition: TopicPartition, offset: int) -> None:
        """The owner of a partition reads from the committed offset on."""
        committed = self.group.offsets.get(partition, 0)
        again = offset < committed and self.loop.time() >= self.unsure_until
        if again and self.group.owner(partition) == client:
            self.violations.append(
                f"{client} fetches {partition.topic}/{partition.partition} from {offset}, though the group"
                f" has committed {committed}: it reads it again"
            )


def _read_in_loop(thread: Any, function: Any) -> Any:
    """Call a function that reads files in the loop, in place of a thread."""
    future = asyncio.get_running_loop().run_in_executor(None, function)
    future.add_done_callback(lambda _: setattr(thread, "_running", None))
    return future


@contextlib.contextmanager
def _watched_product(watched: dict[str, Any], stage: Stage) -> Iterator[None]:
    """Send the product's log to the history, and its exits to the process that ends."""

    def end_process() -> None:
        process = current_process()
        for member in watched["world"].members:
            if member.process is process:
                member.end_itself(watched.pop("cause", None))

    def note(logger: Any, level: str, event: Any) -> Any:
        if level == "critical":
            watched["cause"] = sys.exc_info()[1]
        if "world" not in watched:
            raise structlog.DropEvent
        return watched["world"].history.log(logger, level, event)

    logging.getLogger("aiokafka").setLevel(logging.CRITICAL + 1)  # as `runtime.logs` does
    structlog.configure(processors=[note], wrapper_class=structlog.stdlib.BoundLogger)
    with (
        contextlib.ExitStack() as patches,
        mock.patch.object(ReadingThread, "_start", _read_in_loop),
        mock.patch.object(logs, "configure"),
        mock.patch.object(tasks, "end_process", end_process),
    ):
        for owner, attribute, value in stage.patches:
            patches.enter_context(mock.patch.object(owner, attribute, value))
        yield


def run_plan(plan: Plan, stage: Stage) -> Outcome:
    """Run a plan in a world of its own. A bug of the simulation raises; what the product does is recorded."""
    watched = dict[str, Any]()

    async def main(loop: VirtualLoop, network: Network) -> Outcome:
        history = History(loop.time, loop.time())
        watched["world"] = world = World(plan, stage, loop, network, history)
        return await world.run()

    try:
        with _watched_product(watched, stage):  # also while the coroutines that are left are closed
            return run_virtual(plan.seed, main)
    finally:
        watched.clear()
