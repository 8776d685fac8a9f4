"""When the queued records of a lead that was never stored are old: several records, and the day itself."""

from collections.abc import AsyncIterator
from datetime import timedelta
from uuid import uuid4

import pytest

from runtime.database.postgres import Pool, open_pool
from runtime.settings import Postgres
from tests.integration.personal_data.test_retention_by_site import (
    add_record,
    job,
    kept_leads,
    kept_records,
)
from tests.support.factories import lead
from tests.support.services.admin import Admin
from tests.support.services.flusher import past_clock

UNREADABLE = b"\xff\x00"
MOMENTS = {timedelta(seconds=-1): True, timedelta(): True, timedelta(seconds=1): False}
"""How much older than its period a lead is, and whether it is kept."""


@pytest.fixture
async def pool(postgres: Postgres) -> AsyncIterator[Pool]:
    async with open_pool(postgres, "test") as opened:
        yield opened


def payload_of(site: str) -> bytes:
    return lead(site=site).model_dump_json().encode()


@pytest.mark.parametrize(
    ("days", "site", "age", "kept"),
    [
        (30, "long", 40, True),
        (30, "long", 91, False),
        (30, "short", 8, False),  # the record that cannot be read is younger than its own age
        (None, "long", 80, True),
        (None, "long", 91, False),  # and not kept for ever by the record that cannot be read
        (None, "other", 3000, True),
    ],
)
async def test_a_record_that_cannot_be_read_leaves_a_lead_s_age_as_it_is(
    admin: Admin, pool: Pool, days: int | None, site: str, age: int, kept: bool
) -> None:
    clock, lead_id = past_clock(), uuid4()
    readable = await add_record(admin, clock, age, payload=payload_of(site), lead_id=lead_id)
    unreadable = await add_record(
        admin, clock, age, payload=UNREADABLE, lead_id=lead_id, by_origin=True, stage="notifier"
    )
    assert await job(pool, clock, days).job.tick()
    found = await kept_records(admin.db)
    assert (readable in found) is kept
    is_emptied_alone = days is not None and age > days
    assert (unreadable in found) is (kept and not is_emptied_alone)


@pytest.mark.parametrize(("short_age", "long_age"), [(8, 80), (80, 8), (89, 89)])
async def test_a_lead_waits_for_the_longest_age_of_the_sites_of_its_records(
    admin: Admin, pool: Pool, short_age: int, long_age: int
) -> None:
    clock, lead_id = past_clock(), uuid4()
    for site, age, kind in (("short", short_age, "welcome"), ("long", long_age, "admin_alert")):
        await add_record(
            admin, clock, age, payload=payload_of(site), lead_id=lead_id, stage="notifier", kind=kind
        )
    assert await job(pool, clock, 30).job.tick()
    assert len(await kept_records(admin.db)) == 2
    clock.turn(days=90 - long_age, seconds=1)
    assert await job(pool, clock, 30).job.tick()
    assert await kept_records(admin.db) == set()


@pytest.mark.parametrize("site", ["long", "short", "other"])
async def test_what_is_exactly_as_old_as_its_age_is_erased_a_second_later(
    admin: Admin, pool: Pool, site: str
) -> None:
    clock = past_clock()
    days = timedelta(days={"long": 90, "short": 7, "other": 30}[site])
    leads, records = set(), set()
    for more, is_kept in MOMENTS.items():
        at = clock.now - days - more
        stored = await admin.add_lead(site=site, occurred_at=at)
        times = {"first_failed_at": at, "last_failed_at": at}
        queued = [
            await add_record(admin, clock, 0, payload=payload_of(site), lead_id=lead_id, **times)
            for lead_id in (uuid4(), None)
        ]
        if is_kept:
            leads.add(stored.lead_id)
            records |= set(queued)
    assert await job(pool, clock, 30).job.tick()
    assert await kept_leads(admin.db) == leads
    assert await kept_records(admin.db) == records
