"""The daily job that erases what is too old, on a real database."""

import json
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from runtime.database.postgres import Pool, open_pool
from runtime.failures import DependencyUnavailable
from runtime.settings import Postgres
from runtime.sites.model import Sites
from runtime.tasks import run_in_background
from services.flusher.jobs import retention
from services.flusher.jobs.job_runs import JobRuns
from services.flusher.jobs.retention import Retention
from services.flusher.jobs.retention_periods import RetentionPeriods
from tests.support.database.database_dump import dump_database
from tests.support.services.admin import Admin
from tests.support.services.flusher import Clock
from tests.support.wait import eventually


@pytest.fixture
async def pool(postgres: Postgres) -> AsyncIterator[Pool]:
    async with open_pool(postgres, "test") as opened:
        yield opened


def job(pool: Pool, clock: Clock, days: int | None) -> Retention:
    return Retention(pool, JobRuns(pool, clock), clock, RetentionPeriods(days, Sites()))


async def test_what_is_too_old_is_erased_once_a_day_and_each_lead_audited(
    admin: Admin, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "CHUNK", 2)
    clock = Clock()
    old = [
        await admin.add_lead(name="Grace Hopper", occurred_at=clock.now - timedelta(days=31))
        for _ in range(3)
    ]
    young = await admin.add_lead(occurred_at=clock.now - timedelta(days=29))
    long_ago = clock.now - timedelta(days=40)
    never_stored = uuid4()
    await admin.add_queue_row(
        stage="persister", kind="store", lead_id=never_stored, payload=b"Grace Hopper",
        first_failed_at=long_ago, last_failed_at=long_ago,
    )  # fmt: skip
    await admin.add_queue_row(
        lead_id=None, stage="persister", kind="store", payload=b"Grace Hopper", origin_offset=2,
        first_failed_at=long_ago, last_failed_at=long_ago,
    )  # fmt: skip
    assert await job(pool, clock, 30).job.tick()
    assert "grace" not in await dump_database(admin.db)
    kept = await admin.db.fetch("SELECT id FROM lead_inbox WHERE status <> 'erased'")
    assert [row["id"] for row in kept] == [young.lead_id]
    erasures = await admin.db.fetch("SELECT lead_id, actor FROM audit_log WHERE event = 'lead.erased'")
    assert {row["actor"] for row in erasures} == {"retention"}
    assert {row["lead_id"] for row in erasures} == {*(each.lead_id for each in old), never_stored, None}
    row = await admin.db.fetchrow("SELECT * FROM scheduled_job WHERE name = 'retention'")
    assert row
    assert (row["last_outcome"], json.loads(row["last_details"])) == (
        "succeeded",
        {"erased": 4, "records_emptied": 1},
    )
    await job(pool, clock, 30).job.tick()
    assert await admin.db.fetchval("SELECT runs FROM scheduled_job WHERE name = 'retention'") == 1
    clock.turn(days=1)
    await job(pool, clock, 30).job.tick()
    assert await admin.db.fetchval("SELECT runs FROM scheduled_job WHERE name = 'retention'") == 2


async def test_regression_a_clock_that_is_a_year_ahead_erases_no_lead(admin: Admin, pool: Pool) -> None:
    await admin.add_lead()
    long_ago = Clock().now - timedelta(days=1)
    await admin.add_queue_row(
        stage="persister", kind="store", lead_id=uuid4(), payload=b"Grace Hopper",
        first_failed_at=long_ago, last_failed_at=long_ago,
    )  # fmt: skip
    clock = Clock()
    clock.turn(days=366)
    report = await job(pool, clock, 30)._erase_old()
    assert report.details == {"erased": 0, "records_emptied": 0}


async def test_a_job_that_is_switched_off_erases_nothing_and_waits_for_no_run(
    admin: Admin, pool: Pool
) -> None:
    clock = Clock()
    await job(pool, clock, 30).job.tick()
    await admin.add_lead(occurred_at=clock.now - timedelta(days=9000))
    async with run_in_background(job(pool, clock, None).run(), "retention"):
        await eventually(
            lambda: admin.db.fetchval("SELECT next_run_at FROM scheduled_job"),
            until=lambda next_run_at: next_run_at is None,
            what="the job to have no next run",
        )
    assert await admin.db.fetchval("SELECT count(*) FROM lead_inbox WHERE status = 'erased'") == 0


async def test_a_run_that_cannot_go_on_is_recorded_and_tried_again(admin: Admin, pool: Pool) -> None:
    clock, made = Clock(), list[Any]()
    await admin.add_lead(occurred_at=clock.now - timedelta(days=31))
    halting = job(pool, clock, 30)

    async def refuse(lead_id: Any) -> None:
        made.append(lead_id)
        raise DependencyUnavailable("database", "database answered 57P01")

    halting._erase = refuse  # type: ignore[method-assign]
    assert not await halting.job.tick()
    assert await admin.db.fetchval("SELECT last_outcome FROM scheduled_job") == "failed"
    assert await job(pool, clock, 30).job.tick()
    assert await admin.db.fetchval("SELECT count(*) FROM lead_inbox WHERE status = 'erased'") == 1


async def test_regression_a_lead_that_cannot_be_erased_keeps_no_other_from_it(
    admin: Admin, pool: Pool, db: Any
) -> None:
    clock = Clock()
    old = [await admin.add_lead(occurred_at=clock.now - timedelta(days=31 + n)) for n in range(3)]
    never_stored = [uuid4(), uuid4()]
    long_ago = clock.now - timedelta(days=40)
    for number, lead_id in enumerate(never_stored):
        await admin.add_queue_row(
            stage="persister", kind="store", lead_id=lead_id, payload=b"Grace", origin_offset=number,
            first_failed_at=long_ago, last_failed_at=long_ago,
        )  # fmt: skip
    await db.execute(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no'; END $$"
    )
    for table, column, refused in (
        ("lead_inbox", "id", old[2].lead_id), ("replay_queue", "lead_id", never_stored[0]),
    ):  # fmt: skip
        await db.execute(
            f"CREATE TRIGGER refuse BEFORE UPDATE ON {table} FOR EACH ROW"
            f" WHEN (old.{column} = '{refused}') EXECUTE FUNCTION refuse()"
        )
    assert not await job(pool, clock, 30).job.tick()
    kept = await admin.db.fetch("SELECT id FROM lead_inbox WHERE status <> 'erased'")
    assert [row["id"] for row in kept] == [old[2].lead_id]
    rows = await admin.db.fetch("SELECT lead_id FROM replay_queue WHERE payload IS NOT NULL")
    assert [row["lead_id"] for row in rows] == [never_stored[0]]
    run = await admin.db.fetchrow("SELECT * FROM scheduled_job WHERE name = 'retention'")
    assert run
    assert json.loads(run["last_details"])["reason"] == "2 leads are not erased: database answered P0001"
