"""The retention period of each site, on a real database: leads, queued records, and a changed sites file."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from runtime.database.postgres import Pool, open_pool
from runtime.settings import Kafka, Postgres, SitesFile
from runtime.sites.file import parse_sites
from runtime.sites.model import Sites
from services.flusher.app import create_app
from services.flusher.jobs import retention
from services.flusher.jobs.job_runs import JobRuns
from services.flusher.jobs.retention import Retention
from services.flusher.jobs.retention_periods import RetentionPeriods
from services.flusher.settings import Settings
from tests.support.factories import lead
from tests.support.services.admin import Admin, add_leads
from tests.support.services.flusher import NEVER, Clock
from tests.support.wait import eventually

FILE = parse_sites(b"[sites.long]\nretention_days = 90\n[sites.short]\nretention_days = 7\n[sites.other]")


@pytest.fixture
async def pool(postgres: Postgres) -> AsyncIterator[Pool]:
    async with open_pool(postgres, "test") as opened:
        yield opened


def job(pool: Pool, clock: Clock, days: int | None, sites: Sites = FILE) -> Retention:
    return Retention(pool, JobRuns(pool, clock), clock, RetentionPeriods(days, sites))


async def kept_leads(db: Any) -> set[UUID]:
    return {row["id"] for row in await db.fetch("SELECT id FROM lead_inbox WHERE status <> 'erased'")}


async def kept_records(db: Any) -> set[UUID]:
    return {row["id"] for row in await db.fetch("SELECT id FROM replay_queue WHERE payload IS NOT NULL")}


@pytest.mark.parametrize(
    ("days", "kept"),
    [
        (30, {("long", 80), ("short", 5), ("other", 20), ("removed", 20)}),
        (
            None,
            {("long", 80), ("short", 5), ("other", 20), ("other", 95), ("removed", 20), ("removed", 95)},
        ),
    ],
)
async def test_the_leads_of_each_site_are_erased_at_its_own_age(
    admin: Admin, pool: Pool, days: int | None, kept: set[tuple[str, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "CHUNK", 1)
    clock, leads = Clock(), dict[tuple[str, int], UUID]()
    for site, ages in {"long": (80, 95), "short": (5, 8, 9), "other": (20, 95), "removed": (20, 95)}.items():
        for age in ages:
            added = await admin.add_lead(site=site, occurred_at=clock.now - timedelta(days=age))
            leads[site, age] = added.lead_id
    assert await job(pool, clock, days).job.tick()
    assert await kept_leads(admin.db) == {leads[each] for each in kept}


async def add_record(admin: Admin, clock: Clock, age: int, **changes: Any) -> UUID:
    """Add a queued record whose lead was never stored."""
    failed_at = clock.now - timedelta(days=age)
    fields = {
        "stage": "persister",
        "kind": "store",
        "first_failed_at": failed_at,
        "last_failed_at": failed_at,
    }
    offset = await admin.db.fetchval("SELECT count(*) FROM replay_queue")
    return await admin.add_queue_row(**(fields | {"origin_offset": offset} | changes))


@pytest.mark.parametrize("days", [30, None])
async def test_a_record_of_a_lead_that_was_not_stored_goes_by_its_site(
    admin: Admin, pool: Pool, days: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "CHUNK", 2)
    clock, kept = Clock(), set[UUID]()
    for site, ages in {"long": (80, 95), "short": (5, 8), "other": (20, 95)}.items():
        for age in ages:
            payload = lead(site=site).model_dump_json().encode()
            body = b'{"name": "Ada", "site": "not this one"}'
            rows = [
                await add_record(admin, clock, age, payload=payload),
                await add_record(admin, clock, age, payload=payload, stage="notifier", kind="welcome"),
                await add_record(
                    admin, clock, age, payload=body, stage="site", kind="pull", origin_topic=f"site:{site}",
                    by_origin=True,
                ),
                await add_record(
                    admin, clock, age, payload=body, stage="site", kind="pull", origin_topic=f"hook:{site}"
                ),
                # Another lead's body under a known id, and a record without a lead.
                await add_record(
                    admin, clock, age, payload=payload, by_origin=True, lead_id=await stored(admin)
                ),
                await add_record(admin, clock, age, payload=payload, lead_id=None),
            ]  # fmt: skip
            if age in (80, 5, 20) or (site == "other" and days is None):
                kept |= set(rows)
    assert await job(pool, clock, days).job.tick()
    assert await kept_records(admin.db) == kept


async def stored(admin: Admin) -> UUID:
    """Store a young lead and return its id."""
    return (await admin.add_lead()).lead_id


@pytest.mark.parametrize(
    ("days", "file", "kept_ages"),
    [
        (30, "[sites.long]\nretention_days = 90", [20]),
        (None, "[sites.long]\nretention_days = 90\n[sites.short]\nretention_days = 7", [20, 80, 95]),
    ],
)
@pytest.mark.parametrize("payload", [b"\xff\x00", b"no JSON", b"[1]", b"{}", b'{"site": ""}'])
async def test_a_record_whose_site_cannot_be_read_goes_by_the_documented_age(
    admin: Admin, pool: Pool, payload: bytes, days: int | None, file: str, kept_ages: list[int]
) -> None:
    clock, rows = Clock(), dict[UUID, int]()
    for age in (20, 80, 95):
        for lead_id in (None, uuid4()):
            rows[await add_record(admin, clock, age, payload=payload, lead_id=lead_id)] = age
    assert await job(pool, clock, days, parse_sites(file.encode())).job.tick()
    kept = await kept_records(admin.db)
    assert sorted(rows[each] for each in kept) == sorted(kept_ages * 2)


async def test_a_changed_sites_file_switches_the_job_on_and_off(
    admin: Admin, postgres: Postgres, kafka: Kafka, tmp_path: Path
) -> None:
    old = [lead(site="x", occurred_at=Clock().now - timedelta(days=31)) for _ in range(2)]
    await add_leads(admin.db, old[:1])
    file = tmp_path / "sites.toml"
    file.write_text("[sites.x]")
    settings = Settings(kafka=kafka, postgres=postgres, cron=NEVER, sites_file=SitesFile(path=file))
    next_run = "SELECT next_run_at FROM scheduled_job WHERE name = 'retention'"
    app = create_app(settings)
    async with app.router.lifespan_context(app):
        file.write_text("[sites.x]\nretention_days = 30")
        await eventually(lambda: kept_leads(admin.db), until=lambda kept: not kept, what="the erasure")
        await eventually(lambda: admin.db.fetchval(next_run), what="a next run")
        file.write_text("[sites.x]")
        await eventually(lambda: admin.db.fetchval(next_run), until=lambda at: at is None, what="no next run")
        await add_leads(admin.db, old[1:])
        file.write_text("[sites.x]\nretention_days = 29")
        await eventually(lambda: kept_leads(admin.db), until=lambda kept: not kept, what="the next erasure")


async def test_a_run_reads_by_index_what_is_old(admin: Admin) -> None:
    await admin.db.execute(
        """
        INSERT INTO lead_inbox (id, request_id, site, email, service, status, name, message, body_sha256,
                                created_at_utc)
        SELECT gen_random_uuid(), 'r', 'site ' || n % 40, 'x@example.com', 's',
               CASE WHEN n % 2 = 0 THEN 'erased' ELSE 'won' END, 'n', '', repeat('0', 64),
               now() - n * interval '1 minute'
        FROM generate_series(1, 40000) AS n
        """
    )
    await admin.db.execute(
        """
        INSERT INTO replay_queue (id, stage, kind, lead_id, state, reason, error, origin_topic,
                                  origin_partition, origin_offset, origin_timestamp, origin_group, payload,
                                  first_failed_at, last_failed_at)
        SELECT gen_random_uuid(), 'notifier', 'welcome', gen_random_uuid(), 'resolved', 'r', 'e', 't', 0, n,
               now(), 'g', CASE WHEN n = 1 THEN '{}'::bytea END, now(), now()
        FROM generate_series(1, 20000) AS n
        """
    )
    await admin.db.execute("VACUUM ANALYZE lead_inbox, replay_queue")
    now = Clock().now
    values = {"site": "site 7", "before": now - timedelta(days=7), "chunk": 500, "actor": "a", "latest": now}
    values |= {"sites": ["site 7"], "befores": [now], "other_before": now}
    values |= retention.BEFORE_ALL
    plans = {
        "list_sites": ["Index Only Scan using lead_inbox_site"],
        "list_old_leads": ["lead_inbox_site"],
        "list_old_queued": ["replay_queue_records", "lead_inbox_pkey", "replay_queue_lead_id"],
        "empty_old_rows": ["replay_queue_records"],
    }
    sql = retention.SQL
    for name, wanted in plans.items():
        names = sql.driver_adapter.var_sorted.get(name, [])
        rows = await admin.db.fetch("EXPLAIN " + getattr(sql, name).sql, *(values[each] for each in names))
        plan = "\n".join(row[0] for row in rows)
        assert all(each in plan for each in wanted), f"{name}:\n{plan}"
        assert "Seq Scan on" not in plan, f"{name}:\n{plan}"
