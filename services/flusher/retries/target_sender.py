"""Sends rows of the replay queue, with one task for each target. `RetryScheduler` decides when.

If sending to a target fails, only that target gets a backoff. For example, the gateway refuses the
token of one website, or Kafka cannot write one topic. Sending to other targets continues. A row that
cannot be sent moves to the end of the queue.
"""

import asyncio
import random
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Final

from contracts.failures import SITE
from contracts.reasons import Reason
from runtime import metrics
from runtime.failures import Backoff, Failure
from runtime.logs import logger
from services.flusher.publisher import ReplayPublisher
from services.flusher.retries.claim import Claim
from services.flusher.retries.retry_claims import RetryClaims, Selection
from services.flusher.retries.retry_rules import RetryTarget, Row, SendResult, cause_of
from services.flusher.retries.target_backoff import TargetBackoff
from services.flusher.store import Clock

# A chunk is one transaction, with its payloads in memory: at most 100 x 1 MiB.
CHUNK: Final = 100
# The size of the chunk if the last attempt failed; each success multiplies it by GROWTH.
SMALL_CHUNK: Final = 8
GROWTH: Final = 8
# While tasks are running, new targets are looked up this often.
LOOK_SECONDS: Final = 5.0
# The most connections that the tasks (`_slots`) and a replay hold while they wait for an answer.
CONNECTIONS: Final = 5


@dataclass
class _Run:
    """The running tasks of one call of `send_all`, and their results."""

    selection: Selection
    counts: Counter[str] = field(default_factory=lambda: Counter(sent=0, dead=0))
    reasons: set[str] = field(default_factory=set)
    listed: set[RetryTarget] = field(default_factory=set)
    tasks: dict[RetryTarget, asyncio.Task[None]] = field(default_factory=dict)
    ended: dict[RetryTarget, float] = field(default_factory=dict)
    failure: Exception | None = None

    def may_start(self, to: RetryTarget) -> bool:
        """Return False if a task for this target is running, or ended less than `LOOK_SECONDS` ago.

        Rows that are due after a task has ended are locked by another process. Without the pause, tasks for
        these rows would start again and again.
        """
        is_running = to in self.tasks
        return not is_running and time.monotonic() - self.ended.get(to, -LOOK_SECONDS) >= LOOK_SECONDS

    async def wait(self) -> None:
        """Wait until a task ends, or until it is time to look up new targets."""
        await asyncio.wait(self.tasks.values(), timeout=LOOK_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        for to in [to for to, task in self.tasks.items() if task.done()]:
            del self.tasks[to]
            self.ended[to] = time.monotonic()


class TargetSender:
    """Sends rows that are due, rows whose retry an admin requested, and rows of replays.

    A replay is an admin's retry of many rows at a limited rate. Raises `DependencyUnavailable` if the
    database is unavailable.
    """

    def __init__(
        self,
        claims: RetryClaims,
        publisher: ReplayPublisher,
        clock: Clock,
        backoff: Backoff,
        stopping: asyncio.Event,
    ) -> None:
        self._claims = claims
        self._publisher = publisher
        self._clock = clock
        self._stopping = stopping
        self._backoff_of = TargetBackoff(backoff)
        # Limits the chunks that are sent at the same time: one to Kafka and one to the gateway. Targets
        # whose last attempt failed share other slots. So a target that hangs delays only those.
        self._slots = defaultdict[tuple[bool, bool], asyncio.Semaphore](lambda: asyncio.Semaphore(1))
        self._rng = random.Random()  # noqa: S311 - jitter, not a secret
        self._chunks = dict[RetryTarget, int]()
        self._replay_failed = False
        self._log = logger("replay")

    def reasons(self) -> list[str]:
        """Return the reasons why targets failed at their last send. Equal reasons are returned once."""
        return sorted(set(self._backoff_of.reasons().values()))

    async def send_all(self, selection: Selection) -> tuple[dict[str, int], list[str]]:
        """Send all due or all requested rows. Return counts, and the reasons why some rows were not sent.

        The keys of the counts are `sent`, `dead` and the names of stages. The count of a stage is the number
        of rows that were sent to it.
        """
        run = _Run(selection)
        async with asyncio.TaskGroup() as group:
            while run.failure is None and not self._stopping.is_set():
                await self._start_tasks(run, group)
                if not run.tasks:
                    break
                await run.wait()
        if run.failure:
            raise run.failure
        failures = self._backoff_of.reasons()
        return dict(run.counts), sorted(run.reasons | {failures[to] for to in run.listed if to in failures})

    async def _start_tasks(self, run: "_Run", group: asyncio.TaskGroup) -> None:
        """Start a task for each target that has rows and no running task."""
        try:
            targets = await self._claims.targets(run.selection)
        except Failure as failure:
            run.failure = failure
            return
        run.listed.update(targets)
        for to in targets:
            if run.may_start(to) and self._may_send(run.selection, to):
                run.tasks[to] = group.create_task(self._send_to(run, to))

    async def send_replays(self) -> dict[str, int]:
        """Send one chunk of each running replay, and return counts.

        A chunk has at most as many rows as the replay may send per second. The keys of the counts are `sent`,
        `dead` and the names of stages. The count of a stage is the number of rows that were sent to it.
        """
        now, counts = self._clock(), Counter[str](sent=0, dead=0)
        while not self._stopping.is_set():
            claim: Claim | None = None
            try:
                # While Kafka is unavailable, its rows stay unlocked, so that admins and stages can change
                # them.
                async with self._claims.claimed_replay(
                    now,
                    without=self._backoff_of.backing_off(),
                    sites_only=not self._publisher.connected,
                    at_most=1 if self._replay_failed else CHUNK,
                ) as claim:
                    if claim is None:
                        break
                    result = await self._publisher.send(claim.rows, now)
                    died = await claim.record_results(
                        result, self._publisher.publish_dead_letters_bounded, self._rng
                    )
            except Exception as error:  # noqa: BLE001 - a row that cannot be recorded must not stop the others
                self._replay_failed = True
                await self._postpone(claim, error)
            else:
                self._replay_failed = False
                self._count(result, died, counts)
        return dict(counts)

    def _may_send(self, selection: Selection, to: RetryTarget) -> bool:
        # While Kafka is unavailable, requested rows stay unlocked.
        is_connected = selection == "due" or to.stage == SITE or self._publisher.connected
        return is_connected and not self._backoff_of.is_backing_off(to)

    async def _send_to(self, run: "_Run", to: RetryTarget) -> None:
        """Send chunks to one target until it has no more rows or fails."""
        try:
            is_more = True
            while is_more:
                if self._stopping.is_set():
                    run.reasons.add("stopped before the end")
                    return
                # Release the slot after each chunk, so that a target with many rows does not keep it.
                async with self._slots[to.stage == SITE, self._backoff_of.failed_last(to)]:
                    is_more = await self._send_chunk(run.selection, to, run.counts)
        except Exception as error:  # noqa: BLE001 - raised by send_all once the other tasks have ended
            run.failure = error

    async def _send_chunk(self, selection: Selection, to: RetryTarget, counts: Counter[str]) -> bool:
        """Send one chunk. Return True if there may be more rows and the target is available."""
        publish = self._publisher.publish_dead_letters
        if to.stage == SITE:
            publish = self._publisher.publish_dead_letters_bounded
        chunk = min(CHUNK, self._chunks.get(to, CHUNK))
        claim: Claim | None = None
        try:
            async with self._claims.claimed(selection, to, chunk) as claim:
                result = await self._publisher.send(claim.rows, claim.now)
                died = await claim.record_results(result, publish, self._rng) if claim.rows else []
        except Exception as error:  # noqa: BLE001 - a row that cannot be recorded must not stop the others
            # A smaller chunk each time isolates the row at fault.
            self._chunks[to] = max(1, chunk // GROWTH)
            self._backoff_of.record_failure(to, await self._postpone(claim, error))
            return False
        self._count(result, died, counts)
        self._chunks[to] = SMALL_CHUNK if self._backoff_of.failed_last(to) else chunk * GROWTH
        return len(claim.rows) == chunk and not self._backoff_of.failed_last(to)

    async def _postpone(self, claim: Claim | None, error: Exception) -> str:
        """Move the rows of a claim that failed with `error` to the end of the queue. Return the reason.

        Raises `error` if no row was claimed, and `DependencyUnavailable` if the database is unavailable.
        """
        if not isinstance(error, Failure):
            metrics.BUGS.inc()
            self._log.error("unexpected error while sending", exc_info=True)
        if claim is None:
            raise error
        await self._claims.postpone(claim)
        return (
            error.reason if isinstance(error, Failure) else Reason.BUG.format(exception=type(error).__name__)
        )

    def _count(self, result: SendResult, died: list[Row], counts: Counter[str]) -> None:
        """Count committed results for the log, the job's record and the metrics; start or reset backoffs."""
        for row, _ in (*result.acknowledged, *result.delivered, *result.refused):
            self._backoff_of.record_success(row.target)
            counts["sent"] += 1
            counts[row.stage] += 1
            metrics.REPLAYS.labels(stage=row.stage, cause=cause_of(row)).inc()
        for row in died:
            counts["dead"] += 1
            metrics.DEAD.labels(stage=row.stage).inc()
        for to, reason in result.unreachable().items():
            self._backoff_of.record_failure(to, reason)
            self._log.warning("Queue not flushed", stage=to.stage, target=to.name, reason=reason)
