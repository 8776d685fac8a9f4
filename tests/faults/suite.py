"""One round after another: load and faults, heal, quiet, judgement. Nothing is broken or checked here."""

import asyncio
import random
import time
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import asyncpg
from aiokafka.errors import KafkaError

from tests.faults import observed_state
from tests.faults.checker import Violation, judge
from tests.faults.environment import SITE_TOKEN, World
from tests.faults.faults import ALL, LONG
from tests.faults.load import Step, Traffic, Website, plan

SLICE_SECONDS = 5
# The promise is 60 s; a machine that others use too gets half as much again.
QUIET_SECONDS = 90.0
SHOWN_TIMELINES = 3


@dataclass
class Round:
    """What a round did and what was found."""

    seed: int
    number: int
    faults: tuple[str, ...]
    timeline: list[tuple[float, str]] = field(default_factory=list)
    posted: int = 0
    answers: dict[str, int] = field(default_factory=dict)
    slowest_seconds: float = 0.0
    # Of each five seconds: begin, answers with 201, their median, 99th percentile and slowest, in ms.
    slices: list[tuple[int, int, int, int, int]] = field(default_factory=list)
    median_seconds: float = 0.0
    unknown_mails: int = 0
    recovery_seconds: float = 0.0
    left_out: list[str] = field(default_factory=list)  # faults that this machine cannot make
    violations: list[Violation] = field(default_factory=list)
    stories: dict[str, list[str]] = field(default_factory=dict)

    def count(self, kind: str) -> int:
        return sum(violation.kind == kind for violation in self.violations)

    def json(self) -> dict[str, Any]:
        return asdict(self)


class Suite:
    """Runs rounds in one world; a world that broke a promise is replaced."""

    def __init__(self, folder: Path, traffic: Traffic, say: Callable[[str], None], *, keep: bool) -> None:
        self._folder = folder
        self._traffic = traffic
        self._say = say
        self._keep = keep
        self._worlds = 0
        self._began = 0.0
        self._ends: dict[tuple[str, int], int] = {}
        self._world: World | None = None
        self._website: Website

    async def run(self, seed: int, number: int, faults: tuple[str, ...]) -> Round:
        """Run one round."""
        told = Round(seed, number, faults)
        try:
            world = self._world or await self._build()
        except Exception as error:  # noqa: BLE001 - without a world there is no round
            told.violations.append(_broke(error))
            await self.close(keep=True)
            return told
        world.timeline, world.began = [], time.monotonic()
        self._began = world.began
        unknown_before = await _unknown_mails(world)
        steps = plan(random.Random(f"{seed}/{number}"), f"{seed}.{number}", self._traffic)
        _prepare_mailboxes(world, steps)
        known, refused = set(self._website.leads), len(self._website.refusals)
        load = asyncio.create_task(self._website.run(steps))
        try:
            await self._break_and_heal(world, told, load)
        except Exception as error:  # noqa: BLE001 - a round that broke is a result, too
            told.violations.append(_broke(error))
        finally:
            load.cancel()
        told.violations += [Violation("ended", said) for said in world.restarts]
        self._measure(told, known, refused)
        told.timeline = world.timeline
        told.unknown_mails = await _unknown_mails(world) - unknown_before
        if told.violations:
            for lead_id in [v.lead_id for v in told.violations if v.lead_id][:SHOWN_TIMELINES]:
                told.stories[lead_id] = await self._story(lead_id)
            await self.close(keep=True)
        return told

    async def _break_and_heal(self, world: World, told: Round, load: asyncio.Task[None]) -> None:
        await asyncio.gather(*(self._inject(told, fault) for fault in told.faults))
        await asyncio.sleep(max(0.0, world.began + self._traffic.seconds - time.monotonic()))
        healed = time.monotonic()
        await world.heal()
        world.note("healed")
        await load
        world.note("every client has its answer")
        await self._quiet(told)
        told.recovery_seconds = round(time.monotonic() - healed, 1)
        world.note("quiet")
        facts = await observed_state.gather(world)
        told.violations += judge(
            facts, self._website.leads, self._website.refusals, world.poison, world.refusing
        )

    async def _build(self) -> World:
        self._worlds += 1
        folder = self._folder / f"world-{self._worlds}"
        self._say(f"starting Kafka, PostgreSQL, a mail server and five services in {folder}")
        world = self._world = await World.build(folder)
        await world.start()
        self._website = Website(world.services["ingest"].url, SITE_TOKEN)
        return world

    async def close(self, *, keep: bool = False) -> None:
        if self._world is not None:
            await self._world.stop(keep=keep or self._keep)
            self._world = None

    async def _inject(self, told: Round, fault: str) -> None:
        assert self._world
        rng = random.Random(f"{told.seed}/{told.number}/{fault}")
        found = (ALL | LONG)[fault]
        if missing := found.missing():
            told.left_out.append(f"{fault}: needs {missing}")
            return
        await asyncio.sleep(rng.uniform(1, min(6.0, self._traffic.seconds / 2)))
        await found.action(self._world, rng)

    async def _quiet(self, told: Round) -> None:
        """Wait until nothing is on its way any more; what waits for a retry is flushed as an admin would."""
        world, began, calm = self._world, time.monotonic(), 0
        assert world
        waiting: dict[str, Any] = {}
        while time.monotonic() < began + QUIET_SECONDS:
            await world.restart_dead()
            try:
                waiting = await self._waiting(world)
            except (KafkaError, asyncpg.PostgresError, OSError) as error:
                waiting = {"queue": 0, "a server": type(error).__name__}  # it is coming back
            calm = calm + 1 if not any(waiting.values()) else 0
            if calm == 2:
                return
            if waiting["queue"]:
                await world.flush()
            await asyncio.sleep(1)
        told.violations.append(Violation("not quiet", f"after {QUIET_SECONDS:.0f} s: {waiting}"))

    async def _waiting(self, world: World) -> dict[str, Any]:
        lags, ends = await observed_state.read_lags(world.kafka.bootstrap_servers)
        # The gateway publishes its audit entries slowly: no lag, and still something on its way.
        came, self._ends = sum(ends.values()) - sum(self._ends.values()), ends
        spooled = await world.spooled()
        # What no database takes fails each time that it is flushed: it waits for its third retry.
        rows = await world.sql(
            "SELECT count(*) FROM replay_queue WHERE state IN ('waiting', 'replaying')"
            " AND NOT coalesce(lead_id::text = ANY($1::text[]) AND stage = 'persister', false)",
            list(world.poison.unstorable),
        )
        return {
            **lags,
            "came": came,
            "spool": "no answer" if spooled is None else spooled,
            "queue": rows[0]["count"],
        }

    def _measure(self, told: Round, known: set[str], refused: int) -> None:
        fresh = [lead for lead_id, lead in self._website.leads.items() if lead_id not in known]
        answers = [answer for lead in fresh for body in lead.bodies for answer in body.answers]
        answers += [a for refusal in self._website.refusals[refused:] for a in refusal.answers]
        told.posted = len(fresh)
        told.answers = dict(Counter(str(answer.status or "lost") for answer in answers))
        taken = sorted(answer.seconds for answer in answers if answer.status == 201)
        if taken:
            told.median_seconds, told.slowest_seconds = taken[len(taken) // 2], taken[-1]
        slices: dict[int, list[int]] = {}
        for answer in answers:
            if answer.status == 201:
                began = int(answer.at - self._began) // SLICE_SECONDS * SLICE_SECONDS
                slices.setdefault(began, []).append(round(answer.seconds * 1000))
        for began, times in sorted(slices.items()):
            times.sort()
            count = len(times)
            told.slices.append((began, count, times[count // 2], times[count * 99 // 100], times[-1]))

    async def _story(self, lead_id: str) -> list[str]:
        assert self._world
        try:
            found = await observed_state.timeline(self._world, lead_id)
        except Exception as error:  # noqa: BLE001 - the database may be what broke
            found = [f"no timeline: {type(error).__name__}"]
        lead = self._website.leads.get(lead_id)
        for number, body in enumerate(lead.bodies if lead else []):
            found += [
                f"answer to body {number}: {a.status} after {a.seconds:.2f} s {a.detail}"
                for a in body.answers
            ]
        return found


def _broke(error: Exception) -> Violation:
    """Say where the suite itself gave up: a server that did not start, a service that did not end in time."""
    place = traceback.extract_tb(error.__traceback__)[-1]
    said = f"{type(error).__name__}: {error} ({place.name}, {place.filename}:{place.lineno})"
    return Violation("suite", said[:500])


def _prepare_mailboxes(world: World, steps: list[Step]) -> None:
    for lead in (step.lead for step in steps if step.lead):
        if lead.mailing == "refused":
            world.smtp.always[f"rcpt:{lead.email}"] = "550 5.1.1 no such mailbox"
        elif lead.mailing == "greylisted":
            world.smtp.script[f"rcpt:{lead.email}"] = ["451 4.7.1 greylisted"]


async def _unknown_mails(world: World) -> int:
    try:
        rows = await world.sql("SELECT count(*) FROM audit_log WHERE event = 'email.unknown'")
    except Exception:  # noqa: BLE001 - the database may be what broke
        return 0
    return int(rows[0]["count"])
