"""The simulated database answers as PostgreSQL does: the flusher's stores run the same cases on both."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from random import Random
from types import SimpleNamespace
from typing import Any, Final
from uuid import UUID, uuid4

import asyncpg
import pytest

from contracts import topics
from contracts.failures import LeadFailed
from contracts.leads import LeadReceived
from runtime.database.ledger import Ledger
from runtime.database.postgres import open_pool, transaction
from runtime.database.replay_queue import resolve_replays
from runtime.settings import Postgres
from services.flusher.failed_record import FailedRecord, decode_failure
from services.flusher.jobs.job_runs import JobRuns
from services.flusher.jobs.outbox_relay import SQL as OUTBOX_SQL
from services.flusher.retries.retry_claims import RetryClaims
from services.flusher.retries.retry_rules import RetryTarget, Row, SendResult
from services.flusher.store import Store
from tests.schedules.database.flusher_queries import flusher_statements
from tests.schedules.database.lead_event_queries import OUTBOX
from tests.schedules.database.persister_queries import QUEUE
from tests.schedules.database.pool import Opener
from tests.schedules.database.server import Database, clock
from tests.schedules.flusher.failures import make_failure
from tests.schedules.records import Records
from tests.schedules.simulation.event_loop import ENVIRONMENT, VirtualLoop
from tests.schedules.simulation.network import Network
from tests.schedules.simulation.run import run_virtual
from tests.schedules.stage import POSTGRES
from tests.support.factories import lead
from tests.support.services.admin import add_leads

on_both = pytest.mark.parametrize("kind", ["simulated", "postgresql"])
COLUMNS: Final = ("stage", "kind", "state", "final", "by_origin", "attempts", "reason")
LATER: Final = timedelta(hours=3)
RNG: Final = Random(1)


class Parts:
    """The flusher's store, claims and jobs, on either database."""

    def __init__(self, pool: Any, database: Database | None, db: Any) -> None:
        self.pool, self.ledger, self._database, self._db = pool, Ledger("flusher"), database, db
        self.now = clock()
        self.store = Store(pool, self.ledger, lambda: self.now, RNG)
        self.claims = RetryClaims(pool, lambda: self.now)
        self.runs = JobRuns(pool, lambda: self.now)
        self.letters = list[Any]()
        self._records, self._offset = Records(Random(2)), 0

    async def prepare(self) -> None:
        async with transaction(self.pool) as connection:
            await self.ledger.open_epoch(connection, (topics.FAILED.name, 0), 1, 0)

    def failed(self, shape: str, **changes: Any) -> FailedRecord:
        """Return a failed record of this shape. `changes` are changes of its failure."""
        topic, key, value, headers = make_failure(self._records, shape)
        if changes:
            failure = LeadFailed.from_headers(headers).model_copy(update=changes)
            headers = failure.to_headers()
        place = {"topic": topic, "partition": 0, "offset": self._offset, "timestamp": 1000 + self._offset}
        self._offset += 1
        record: Any = SimpleNamespace(**place, key=key, value=value, headers=tuple(headers))
        return decode_failure(record, "fastcore.flusher")

    async def save(self, *failed: FailedRecord) -> dict[str, int]:
        async def publish(letters: Any) -> None:
            self.letters += letters

        return await self.store.store_failures(failed, publish)

    async def fail_again(self, failed: FailedRecord, row_id: UUID, **changes: Any) -> None:
        """Store the failure of a retry of this row."""
        again = {"event_id": uuid4(), "queue_id": row_id, **changes}
        place = {"offset": self._offset, "topic": topics.FAILED.name, "partition": 0, "timestamp": 5}
        record: Any = SimpleNamespace(**{**vars(failed.record), **place})
        self._offset += 1
        await self.save(replace(failed, record=record, failure=failed.failure.model_copy(update=again)))

    async def rows(self) -> list[tuple[Any, ...]]:
        """Return the rows of the queue, in a fixed order."""
        if self._database is None:
            columns = ", ".join(COLUMNS)
            found = await self._db.fetch(f"SELECT {columns}, payload IS NULL FROM replay_queue")
            return sorted(tuple(row) for row in found)
        rows = self._database.rows(QUEUE)
        return sorted((*(row[name] for name in COLUMNS), row["payload"] is None) for row in rows)

    async def request(self, row_id: UUID) -> None:
        if self._database is None:
            await self._db.execute("UPDATE replay_queue SET requested_at = now() WHERE id = $1", row_id)
            return
        own = self._database.begin()
        own.put(QUEUE, (row_id,), self._database.table(QUEUE)[row_id,] | {"requested_at": own.now})
        own.commit()

    async def add_leads(self, *leads: LeadReceived) -> None:
        if self._database is None:
            await add_leads(self._db, list(leads))

    async def add_change(self, lead_id: UUID) -> None:
        if self._database is None:
            # A trigger writes the event.
            await self._db.execute("UPDATE lead_inbox SET name = name || ' II' WHERE id = $1", lead_id)
            return
        own = self._database.begin()
        position = self._database.next_number()
        row = {"position": position, "lead_id": lead_id, "type": "lead.updated"}
        own.put(OUTBOX, (position,), row)
        own.commit()

    async def send(self, target: str = "persister", to: str = "acknowledged") -> list[Row]:
        """Claim the due rows of a target, and record this result of sending them."""
        async with self.claims.claimed("due", RetryTarget(target, target), 10) as claim:
            result = SendResult()
            if to == "acknowledged":
                result.acknowledged = [(row, uuid4()) for row in claim.rows]
            elif to == "delivered":
                result.delivered = [(row, uuid4()) for row in claim.rows]
            else:
                result.unsendable = [(row, "it cannot be sent") for row in claim.rows]
            await claim.record_results(result, _publish_nothing, RNG)
            return claim.rows


async def _publish_nothing(_: Any) -> None: ...


Case = Callable[[Parts], Awaitable[None]]


def run_on(kind: str, request: pytest.FixtureRequest, case: Case) -> None:
    """Run a case on a simulated database in virtual time, or on the real one."""

    async def run(pool: Any, database: Database | None, db: Any) -> None:
        parts = Parts(pool, database, db)
        await parts.prepare()
        await case(parts)

    async def simulated(_: VirtualLoop, __: Network) -> None:
        database = Database()
        await run(Opener(database, flusher_statements(), Random(1)).of(ENVIRONMENT, POSTGRES), database, None)

    async def real(settings: Postgres) -> None:
        db = await asyncpg.connect(settings.url.get_secret_value())
        try:
            async with open_pool(settings, "test") as pool:
                await run(pool, None, db)
        finally:
            await db.close()

    if kind == "simulated":
        run_virtual(1, simulated)
    else:
        asyncio.run(real(request.getfixturevalue("postgres")))


PERSISTER: Final = {"stage": "persister", "kind": "store"}


@on_both
def test_each_failure_has_one_row(kind: str, request: pytest.FixtureRequest) -> None:
    async def case(parts: Parts) -> None:
        first = parts.failed("failure", **PERSISTER)
        assert await parts.save(first) == {"stored": 1, "dead": 0}
        assert await parts.save(first) == {"duplicate": 1, "dead": 0}
        assert await parts.save(parts.failed("final_failure", **PERSISTER)) == {"stored": 1, "dead": 1}
        assert await parts.save(parts.failed("undecodable"), parts.failed("conflicting")) == {
            "stored": 2,
            "dead": 1,
        }
        assert await parts.save(parts.failed("failed_audit"), parts.failed("no_failure")) == {
            "stored": 2,
            "dead": 1,
        }
        assert [row[2] for row in await parts.rows()].count("dead") == 3
        assert [row[4] for row in await parts.rows()].count(True) == 4
        # The same lead came again, at another place: it gets a row of its own.
        origin = first.failure.origin.model_copy(update={"offset": 99})
        other = replace(
            first, failure=first.failure.model_copy(update={"event_id": uuid4(), "origin": origin})
        )
        assert await parts.save(other) == {"stored": 1, "dead": 0}
        assert len(parts.letters) == 3

    run_on(kind, request, case)


@on_both
def test_rows_are_sent_until_they_are_dead(kind: str, request: pytest.FixtureRequest) -> None:
    async def case(parts: Parts) -> None:
        failed = parts.failed("failure", **PERSISTER)
        await parts.save(failed)
        for attempts in (1, 2, 3):
            parts.now += LATER
            assert await parts.claims.targets("due") == [RetryTarget("persister", "persister")]
            (row,) = await parts.send()
            assert await parts.send() == []
            assert [each[2:6] for each in await parts.rows()] == [("replaying", False, False, attempts)]
            await parts.fail_again(failed, row.id)
        assert [each[2] for each in await parts.rows()] == ["dead"]
        await parts.fail_again(failed, row.id, reason="again")
        assert [(each[2], each[6]) for each in await parts.rows()] == [("dead", "again")]
        async with transaction(parts.pool) as connection:
            await resolve_replays(connection, "persister", [row.id])
        assert [(each[2], each[7]) for each in await parts.rows()] == [("resolved", True)]
        await parts.fail_again(failed, row.id)
        assert [(each[2], each[5], each[7]) for each in await parts.rows()] == [("waiting", 0, False)]
        await parts.send(to="unsendable")
        assert [each[2:4] for each in await parts.rows()] == [("dead", True)]

    run_on(kind, request, case)


@on_both
def test_locked_rows_are_left_to_their_flusher(kind: str, request: pytest.FixtureRequest) -> None:
    async def case(parts: Parts) -> None:
        await parts.save(*(parts.failed("failure", **PERSISTER) for _ in range(3)))
        parts.now += LATER
        to = RetryTarget("persister", "persister")
        async with parts.claims.claimed("due", to, 2) as first:
            async with parts.claims.claimed("due", to, 10) as second:
                assert (len(first.rows), len(second.rows)) == (2, 1)
                await second.move_to_end(row.id for row in second.rows)
            await parts.request(second.rows[0].id)
            assert await parts.claims.targets("requested") == [to]
            async with parts.claims.claimed("requested", to, 10) as requested:
                assert [row.id for row in requested.rows] == [second.rows[0].id]
            assert (await parts.runs.pending.read()).rows
        await parts.send(to="delivered")
        assert [row[2] for row in await parts.rows()] == ["resolved"] * 3

    run_on(kind, request, case)


@on_both
def test_a_job_runs_once_at_each_tick(kind: str, request: pytest.FixtureRequest) -> None:
    async def case(parts: Parts) -> None:
        tick = parts.now + timedelta(minutes=1)
        async with parts.runs.job_lock("job") as first, parts.runs.job_lock("job") as second:
            assert (first, second) == (True, False)
            assert await parts.runs.begin_run("job", "* * * * *", tick) == 1
            await parts.runs.end_run("job", 1, "failed", 5, {})
        assert await parts.runs.begin_run("job", "* * * * *", tick) == 2
        await parts.runs.end_run("job", 1, "succeeded", 5, {})  # a later run has begun
        assert await parts.runs.begin_run("job", "* * * * *", tick) == 3
        await parts.runs.end_run("job", 3, "succeeded", 5, {})
        assert await parts.runs.begin_run("job", "* * * * *", tick) is None
        assert await parts.runs.begin_run("job", "* * * * *", tick + LATER) == 4

    run_on(kind, request, case)


@on_both
def test_an_event_waits_for_the_earlier_ones_of_its_lead(kind: str, request: pytest.FixtureRequest) -> None:
    async def case(parts: Parts) -> None:
        leads = lead(), lead()
        await parts.add_leads(*leads)
        one, other = (each.lead_id for each in leads)
        for lead_id in (one, one, other):
            await parts.add_change(lead_id)
        assert (await parts.runs.pending.read()).events
        async with transaction(parts.pool) as first, transaction(parts.pool) as second:
            claimed = [row async for row in OUTBOX_SQL.claim_events(first, limit=1)]
            others = [row["lead_id"] async for row in OUTBOX_SQL.claim_events(second, limit=10)]
            assert ([row["lead_id"] for row in claimed], others) == ([one], [other])
            await OUTBOX_SQL.delete_events(first, positions=[claimed[0]["position"]])
        async with transaction(parts.pool) as connection:
            left = [row["lead_id"] async for row in OUTBOX_SQL.claim_events(connection, limit=10)]
        assert left == [one, other]

    run_on(kind, request, case)
