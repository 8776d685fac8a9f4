"""Runs the rounds: load and faults, heal, wait until idle, check. The faults and the checks are elsewhere."""

import asyncio
import contextlib
import random
import time
import traceback
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import asyncpg
from aiokafka.errors import KafkaError

from tests.faults import observed_state
from tests.faults.checker import check
from tests.faults.environment import (
    ADMIN_TOKEN,
    DIGEST_SITE,
    DIGEST_SITE_TOKEN,
    SITE_TOKEN,
    Environment,
)
from tests.faults.injections.faults import ALL, LONG, Fault
from tests.faults.load import Step, Traffic, Website, plan_load
from tests.faults.office import Office
from tests.faults.seal_checker import check_seal
from tests.faults.traces.recorder import Recorder
from tests.faults.violations import Violation
from tests.model.traces.report import Replay
from tests.support.patience import patient

SLICE_SECONDS = 5
# The guarantee is 60 s; the rest is for a shared machine, and a run on a slow one has patience.
IDLE_SECONDS = 90.0
DIGEST_SECONDS = 2.0
# What is still pending becomes a part of the timeline, so often.
SAY_PENDING_SECONDS = 15.0
# The faults of a minute begin within its first six seconds.
LONG_LOAD_SECONDS = 75.0
SHOWN_TIMELINES = 3
SHOWN_ERRORS = 20


@dataclass
class Round:
    """The faults, the measurements and the violations of one round."""

    seed: int
    number: int
    faults: tuple[str, ...]
    timeline: list[tuple[float, str]] = field(default_factory=list)
    posted: int = 0
    accepted: int = 0  # of these, the leads with a 201
    answers: dict[str, int] = field(default_factory=dict)
    slowest_seconds: float = 0.0
    # For each five seconds: start, number of 201 responses, their median, 99th percentile and maximum in ms.
    slices: list[tuple[int, int, int, int, int]] = field(default_factory=list)
    median_seconds: float = 0.0
    unknown_mails: int = 0
    traces: str = ""  # the file with what was observed of each lead
    trace_steps: int = 0  # what the observers saw, explained by the model (docs/model.md)
    recovery_seconds: float = 0.0
    skipped: list[str] = field(default_factory=list)  # faults that need something this machine lacks
    violations: list[Violation] = field(default_factory=list)
    lead_timelines: dict[str, list[str]] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)  # what the services logged as errors, after a violation

    def count(self, kind: str) -> int:
        return sum(violation.kind == kind for violation in self.violations)

    def json(self) -> dict[str, Any]:
        return asdict(self)


class Suite:
    """Runs rounds in one environment. It replaces an environment that had a violation."""

    def __init__(
        self,
        folder: Path,
        traffic: Traffic,
        say: Callable[[str], None],
        *,
        keep: bool,
        one_process: bool = False,
        workers: int = 1,
        build: Callable[[Path], Awaitable[Environment]] | None = None,
        faults: Mapping[str, Fault] = ALL | LONG,
    ) -> None:
        """`build` makes an installation in a folder, by default the one of a single broker and database."""
        self._build_environment = build or partial(
            Environment.build, one_process=one_process, workers=workers
        )
        self._faults = faults
        self._folder = folder
        self._traffic = traffic
        self._seconds = traffic.seconds
        self._say = say
        self._keep = keep
        self._one_process = one_process
        self._environments = 0
        self._began = 0.0
        self._ends: dict[tuple[str, int], int] = {}
        self._environment: Environment | None = None
        self._website: Website
        self._recorder: Recorder
        self._replay = Replay()

    async def run(
        self,
        seed: int,
        number: int,
        faults: tuple[str, ...],
        on_event: Callable[[float, str], None] = lambda _at, _event: None,
    ) -> Round:
        """Run one round. `on_event` gets each event of its timeline at once: the second, and the text.

        The load of a round with a fault that lasts for a minute takes as long as this fault.
        """
        result = Round(seed, number, faults)
        seconds = max(self._seconds, LONG_LOAD_SECONDS if LONG.keys() & set(faults) else 0)
        self._traffic = replace(self._traffic, seconds=seconds)
        try:
            environment = self._environment or await self._build()
        except Exception as error:  # noqa: BLE001 - without an environment there is no round
            result.violations.append(_suite_error(error))
            await self.close(keep=True)
            return result
        environment.timeline, environment.began = [], time.monotonic()
        environment.on_event = on_event
        self._began = environment.began
        unknown_before = await _unknown_mails(environment)
        steps = plan_load(random.Random(f"{seed}/{number}"), f"{seed}.{number}", self._traffic)
        _prepare_mailboxes(environment, steps)
        known, refused = set(self._website.leads), len(self._website.refusals)
        load = asyncio.create_task(self._website.run(steps))
        digests = asyncio.create_task(_make_digests_due(environment))
        try:
            await self._inject_and_check(environment, result, load)
        except Exception as error:  # noqa: BLE001 - an aborted round is a result, too
            result.violations.append(_suite_error(error))
        finally:
            load.cancel()
            digests.cancel()
        result.violations += [Violation("ended", event) for event in environment.restarts]
        self._measure(result, known, refused)
        result.timeline = environment.timeline
        result.unknown_mails = await _unknown_mails(environment) - unknown_before
        if result.violations:
            for lead_id in [v.lead_id for v in result.violations if v.lead_id][:SHOWN_TIMELINES]:
                result.lead_timelines[lead_id] = await self._lead_timeline(lead_id)
            result.errors = environment.logged_errors()[-SHOWN_ERRORS:]
            await self.close(keep=True)
        return result

    async def _inject_and_check(
        self, environment: Environment, result: Round, load: asyncio.Task[None]
    ) -> None:
        await asyncio.gather(*(self._inject(result, fault) for fault in result.faults))
        await asyncio.sleep(max(0.0, environment.began + self._traffic.seconds - time.monotonic()))
        healed = time.monotonic()
        await environment.heal()
        environment.log_event("healed")
        await load
        environment.log_event("every client has its response")
        await self._wait_until_idle(result)
        result.recovery_seconds = round(time.monotonic() - healed, 1)
        environment.log_event("idle")
        observed = await observed_state.observe(environment)
        if environment.is_traced:
            result.violations += await self._replay_traces(result)
        found = check(
            observed, self._website.leads, self._website.refusals, environment.poison, environment.allowed_503
        )
        result.violations += [each for each in found if not environment.is_explained(each)]
        result.violations += await environment.find_more_violations()
        if type(environment) is Environment:  # no other server takes over, which may lack what was signed
            result.violations += await check_seal(environment.postgres.urls.owner, environment.folder)
            environment.log_event("the sealed audit log is verified")

    async def _replay_traces(self, result: Round) -> list[Violation]:
        """Record what the observers saw of each lead, and find a run of the model for it."""
        path = self._folder / "traces" / f"{result.seed}-{result.number}.jsonl.gz"
        name = f"{result.seed}/{result.number}"
        await self._recorder.record(path, self._website.leads, self._website.refusals, name)
        found = await asyncio.to_thread(self._replay.add, [path])
        result.traces, result.trace_steps = str(path), found.steps
        return [Violation("unexplained", str(each), each.trace.lead) for each in found.unexplained]

    async def _build(self) -> Environment:
        self._environments += 1
        folder = self._folder / f"environment-{self._environments}"
        shared = " in one process" if self._one_process else ""
        self._say(
            f"starting Kafka, PostgreSQL, a mail server, a receiver and six services{shared} in {folder}"
        )
        environment = self._environment = await self._build_environment(folder)
        await environment.start()
        self._recorder = Recorder(environment)
        if environment.is_traced:
            await self._recorder.install()
        office = Office(environment.services["admin"].url, ADMIN_TOKEN)
        tokens = {"default": SITE_TOKEN, DIGEST_SITE: DIGEST_SITE_TOKEN}
        self._website = Website(environment.services["ingest"].url, tokens, office)
        return environment

    async def close(self, *, keep: bool = False) -> None:
        if self._environment is not None:
            await self._environment.stop(keep=keep or self._keep)
            self._environment = None

    async def _inject(self, result: Round, fault: str) -> None:
        assert self._environment
        rng = random.Random(f"{result.seed}/{result.number}/{fault}")
        found = self._faults[fault]
        if missing := found.missing():
            result.skipped.append(f"{fault}: needs {missing}")
            return
        await asyncio.sleep(rng.uniform(1, min(6.0, self._traffic.seconds / 2)))
        await found.action(self._environment, rng)

    async def _wait_until_idle(self, result: Round) -> None:
        """Wait until no record, spooled lead, queue row, change or delivery is pending.

        Retries what is pending as an admin does.
        """
        environment, began, calm = self._environment, time.monotonic(), 0
        assert environment
        waiting: dict[str, Any] = {}
        say_at = began + SAY_PENDING_SECONDS
        while time.monotonic() < began + patient(IDLE_SECONDS):
            await environment.restart_dead()
            try:
                waiting = await self._count_pending(environment)
            except (KafkaError, asyncpg.PostgresError, OSError) as error:
                waiting = {"queue": 0, "server": type(error).__name__}  # it is restarting
            calm = calm + 1 if not any(waiting.values()) else 0
            if time.monotonic() > say_at:
                say_at += SAY_PENDING_SECONDS
                environment.log_event(
                    f"pending: { ({name: each for name, each in waiting.items() if each}) }"
                )
            if calm == 2:
                return
            if waiting["queue"]:
                await environment.flush()
            if waiting.get("digests"):
                with contextlib.suppress(asyncpg.PostgresError, OSError):
                    await environment.make_digests_due()
                    await environment.repeat_digests()
            if waiting.get("deliveries"):
                await environment.retry_deliveries()
            await asyncio.sleep(1)
        result.violations.append(Violation("not idle", f"after {patient(IDLE_SECONDS):.0f} s: {waiting}"))

    async def _count_pending(self, environment: Environment) -> dict[str, Any]:
        lags, ends = await observed_state.read_lags(environment.kafka.bootstrap_servers)
        # The gateway publishes audit entries in the background: without a lag, new records may still arrive.
        came, self._ends = sum(ends.values()) - sum(self._ends.values()), ends
        spooled = await environment.spooled()
        # What cannot be stored fails at each flush: a retry that an admin requests uses up none of the three.
        rows = await environment.sql(
            "SELECT count(*) FROM replay_queue WHERE state IN ('waiting', 'replaying')"
            " AND NOT coalesce(lead_id::text = ANY($1::text[]) AND stage IN ('persister', 'site'), false)",
            list(environment.poison.unstorable),
        )
        (open_work,) = await environment.sql(
            "SELECT (SELECT count(*) FROM lead_event_outbox) AS outbox,"
            " (SELECT count(*) FROM webhook_delivery WHERE state NOT IN ('delivered', 'suppressed'))"
            " AS deliveries, (SELECT count(*) FROM collected_alert) AS digests"
        )
        return {
            **lags,
            "came": came,
            "spool": "no answer" if spooled is None else spooled,
            "queue": rows[0]["count"],
            **open_work,
            **await environment.count_more_pending(),
        }

    def _measure(self, result: Round, known: set[str], refused: int) -> None:
        fresh = [lead for lead_id, lead in self._website.leads.items() if lead_id not in known]
        answers = [answer for lead in fresh for body in lead.bodies for answer in body.answers]
        answers += [a for refusal in self._website.refusals[refused:] for a in refusal.answers]
        result.posted = len(fresh)
        result.accepted = sum(any(body.accepted for body in lead.bodies) for lead in fresh)
        result.answers = dict(Counter(str(answer.status or "lost") for answer in answers))
        taken = sorted(answer.seconds for answer in answers if answer.status == 201)
        if taken:
            result.median_seconds, result.slowest_seconds = taken[len(taken) // 2], taken[-1]
        slices: dict[int, list[int]] = {}
        for answer in answers:
            if answer.status == 201:
                began = int(answer.at - self._began) // SLICE_SECONDS * SLICE_SECONDS
                slices.setdefault(began, []).append(round(answer.seconds * 1000))
        for began, times in sorted(slices.items()):
            times.sort()
            count = len(times)
            result.slices.append((began, count, times[count // 2], times[count * 99 // 100], times[-1]))

    async def _lead_timeline(self, lead_id: str) -> list[str]:
        assert self._environment
        try:
            found = await observed_state.timeline(self._environment, lead_id)
        except Exception as error:  # noqa: BLE001 - the database may be unavailable
            found = [f"no timeline: {type(error).__name__}"]
        lead = self._website.leads.get(lead_id)
        for number, body in enumerate(lead.bodies if lead else []):
            found += [
                f"answer to body {number}: {a.status} after {a.seconds:.2f} s {a.detail}"
                for a in body.answers
            ]
        return found


def _suite_error(error: Exception) -> Violation:
    """Return the line in which the suite itself failed, such as a server that did not start."""
    place = traceback.extract_tb(error.__traceback__)[-1]
    detail = f"{type(error).__name__}: {error} ({place.name}, {place.filename}:{place.lineno})"
    return Violation("suite", detail[:500])


def _prepare_mailboxes(environment: Environment, steps: list[Step]) -> None:
    for lead in (step.lead for step in steps if step.lead):
        if lead.mailing == "refused":
            environment.smtp.always[f"rcpt:{lead.email}"] = "550 5.1.1 no such mailbox"
        elif lead.mailing == "greylisted":
            environment.smtp.script[f"rcpt:{lead.email}"] = ["451 4.7.1 greylisted"]


async def _make_digests_due(environment: Environment) -> None:
    """Have a list of leads sent every few seconds, so that faults meet it. Runs until cancelled."""
    while True:
        await asyncio.sleep(DIGEST_SECONDS)
        with contextlib.suppress(asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError):
            await environment.make_digests_due()


async def _unknown_mails(environment: Environment) -> int:
    try:
        rows = await environment.sql("SELECT count(*) FROM audit_log WHERE event = 'email.unknown'")
    except Exception:  # noqa: BLE001 - the database may be unavailable
        return 0
    return int(rows[0]["count"])
