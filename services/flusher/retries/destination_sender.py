"""Sends rows of the queue, each destination in a lane of its own. When it is done is `loop`'s decision.

A gateway that refuses a website's token, or a topic that Kafka cannot write, rests with a backoff of its own
while all other destinations go on. A row that cannot be sent lets the rows behind it go first.
"""

import asyncio
import random
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Final

from contracts.reasons import Reason
from runtime import metrics
from runtime.failures import Backoff, Failure
from runtime.logs import logger
from services.flusher.publisher import ReplayPublisher
from services.flusher.retries.claim import Claim
from services.flusher.retries.destination_backoff import DestinationBackoff
from services.flusher.retries.retry_claims import RetryClaims, Selection
from services.flusher.retries.retry_rules import SITE, Destination, Row, SendResult, cause_of
from services.flusher.store import Clock

# A chunk is one transaction that holds its payloads in memory: at most 100 x 1 MiB.
CHUNK: Final = 100
# So many where the last try failed; after a success so many times more.
FEW: Final = 8
GROWTH: Final = 8
# While lanes are at work, other destinations are looked for as often as this.
LOOK_SECONDS: Final = 5.0
# What the lanes (`_slots`) and a turn hold at most while they wait for an answer.
CONNECTIONS: Final = 5


@dataclass
class _Run:
    """The lanes that are at work for one call of `send_all`, and what they did."""

    what: Selection
    counts: Counter[str] = field(default_factory=lambda: Counter(sent=0, dead=0))
    reasons: set[str] = field(default_factory=set)
    listed: set[Destination] = field(default_factory=set)
    lanes: dict[Destination, asyncio.Task[None]] = field(default_factory=dict)
    ended: dict[Destination, float] = field(default_factory=dict)
    failure: Exception | None = None

    def may_start(self, to: Destination) -> bool:
        """Return False for a lane at work, or one just ended: what it left is in another's hands."""
        is_at_work = to in self.lanes
        return not is_at_work and time.monotonic() - self.ended.get(to, -LOOK_SECONDS) >= LOOK_SECONDS

    async def wait(self) -> None:
        """Wait until a lane ends, or until it is time to look for other destinations."""
        await asyncio.wait(self.lanes.values(), timeout=LOOK_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        for to in [to for to, task in self.lanes.items() if task.done()]:
            del self.lanes[to]
            self.ended[to] = time.monotonic()


class DestinationSender:
    """Sends due and requested rows, and replays. Raises `DependencyUnavailable` for the database."""

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
        self._backoff_of = DestinationBackoff(backoff)
        # One chunk at a time to Kafka, one to the gateway, and one each to what failed last time: a
        # destination that hangs holds up only others that failed.
        self._slots = defaultdict[tuple[bool, bool], asyncio.Semaphore](lambda: asyncio.Semaphore(1))
        self._rng = random.Random()  # noqa: S311 - jitter, not a secret
        self._chunks = dict[Destination, int]()
        self._replay_failed = False
        self._log = logger("replay")

    def reasons(self) -> list[str]:
        """Say what is wrong with the destinations that took nothing at the last try."""
        return sorted(set(self._backoff_of.reasons().values()))

    async def send_all(self, what: Selection) -> tuple[dict[str, int], list[str]]:
        """Send all that is due, or wanted; return counts, and the reasons why some of it was not sent."""
        run = _Run(what)
        async with asyncio.TaskGroup() as group:
            while run.failure is None and not self._stopping.is_set():
                await self._start_lanes(run, group)
                if not run.lanes:
                    break
                await run.wait()
        if run.failure:
            raise run.failure
        wrong = self._backoff_of.reasons()
        return dict(run.counts), sorted(run.reasons | {wrong[to] for to in run.listed if to in wrong})

    async def _start_lanes(self, run: "_Run", group: asyncio.TaskGroup) -> None:
        """Begin a lane for each destination that has rows and none at work."""
        try:
            found = await self._claims.destinations(run.what)
        except Failure as away:
            run.failure = away
            return
        run.listed.update(found)
        for to in found:
            if run.may_start(to) and self._may_send(run.what, to):
                run.lanes[to] = group.create_task(self._send_to(run, to))

    async def send_replays(self) -> dict[str, int]:
        """Give each running replay one turn: its rate is its own, and nothing else waits for its end."""
        now, counts = self._clock(), Counter[str](sent=0, dead=0)
        while not self._stopping.is_set():
            claim: Claim | None = None
            try:
                # While Kafka is away its rows stay free: an admin, or a stage, may want them.
                async with self._claims.claimed_replay(
                    now,
                    without=self._backoff_of.backing_off(),
                    sites_only=not self._publisher.connected,
                    at_most=1 if self._replay_failed else CHUNK,
                ) as claim:
                    if claim is None:
                        break
                    sent = await self._publisher.replay(claim.rows, now)
                    died = await claim.settle(sent, self._publisher.publish_dead_letters_bounded, self._rng)
            except Exception as error:  # noqa: BLE001 - one row that cannot be recorded must not stop all others
                self._replay_failed = True
                await self._postpone(claim, error)
            else:
                self._replay_failed = False
                self._note(sent, died, counts)
        return dict(counts)

    def _may_send(self, what: Selection, to: Destination) -> bool:
        # While Kafka is away, a wanted row stays free for others.
        is_connected = what == "due" or to.stage == SITE or self._publisher.connected
        return is_connected and not self._backoff_of.is_backing_off(to)

    async def _send_to(self, run: "_Run", to: Destination) -> None:
        """Send chunk after chunk to one destination."""
        try:
            is_more = True
            while is_more:
                if self._stopping.is_set():
                    run.reasons.add("stopped before the end")
                    return
                # By turns, chunk by chunk: a long lane does not hold its slot.
                async with self._slots[to.stage == SITE, self._backoff_of.failed_last(to)]:
                    is_more = await self._send_chunk(run.what, to, run.counts)
        except Exception as error:  # noqa: BLE001 - raised by send_all, once the other lanes have ended
            run.failure = error

    async def _send_chunk(self, what: Selection, to: Destination, counts: Counter[str]) -> bool:
        """Send one chunk; return True where there may be another, and the destination takes it."""
        archive = (
            self._publisher.publish_dead_letters_bounded if to.stage == SITE else self._publisher.archive
        )
        chunk = min(CHUNK, self._chunks.get(to, CHUNK))
        claim: Claim | None = None
        try:
            async with self._claims.claimed(what, to, chunk) as claim:
                sent = await self._publisher.replay(claim.rows, claim.now)
                died = await claim.settle(sent, archive, self._rng) if claim.rows else []
        except Exception as error:  # noqa: BLE001 - one row that cannot be recorded must not stop all others
            # Narrowed down to the row at fault, as the consumers do it.
            self._chunks[to] = max(1, chunk // GROWTH)
            self._backoff_of.failed(to, await self._postpone(claim, error))
            return False
        self._note(sent, died, counts)
        self._chunks[to] = FEW if self._backoff_of.failed_last(to) else chunk * GROWTH
        return len(claim.rows) == chunk and not self._backoff_of.failed_last(to)

    async def _postpone(self, claim: Claim | None, error: Exception) -> str:
        """Let the rows behind a failed claim go first; return the reason. Raises `DependencyUnavailable`."""
        if not isinstance(error, Failure):
            metrics.BUGS.inc()
            self._log.error("unexpected error in a lane", exc_info=True)
        if claim is None:
            raise error
        await self._claims.postpone(claim)
        return (
            error.reason if isinstance(error, Failure) else Reason.BUG.format(exception=type(error).__name__)
        )

    def _note(self, sent: SendResult, died: list[Row], counts: Counter[str]) -> None:
        """Count what is committed, for the log, the job's record and the metrics; let rest what is away."""
        for row, _ in (*sent.acknowledged, *sent.delivered, *sent.refused):
            self._backoff_of.passed(row.destination)
            counts["sent"] += 1
            counts[row.stage] += 1
            metrics.REPLAYS.labels(stage=row.stage, cause=cause_of(row)).inc()
        for row in died:
            counts["dead"] += 1
            metrics.DEAD.labels(stage=row.stage).inc()
        for to, reason in sent.unreachable().items():
            self._backoff_of.failed(to, reason)
            self._log.warning("Queue not flushed", stage=to.stage, destination=to.name, reason=reason)
