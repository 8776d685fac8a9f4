"""What the overview counts: the same for past days, which a job has counted, and for today."""

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from contracts.visit import Source
from runtime.database.postgres import Pool, autocommit, open_pool
from runtime.settings import Postgres
from services.admin.store.leads.responses import Decisions, Responses, ResponseTime
from services.admin.store.leads.trends import Count, Trends
from services.flusher.jobs.job_runs import JobRuns
from services.flusher.jobs.lead_summary import lead_summary_job
from tests.support.services.admin import Admin
from tests.support.services.flusher import Clock

NOW = datetime.now(UTC).replace(microsecond=0)
MIDNIGHT = NOW.replace(hour=0, minute=0, second=0)
DAY = timedelta(days=1)
KOLKATA = ZoneInfo("Asia/Kolkata")


@pytest.fixture
async def pool(postgres: Postgres) -> Any:
    async with open_pool(postgres, "test") as opened:
        yield opened


async def summarize(pool: Pool) -> None:
    """Run the flusher's job once."""
    clock = Clock()
    async with autocommit(pool) as connection:
        await connection.execute("UPDATE scheduled_job SET requested_at = now()")
    assert await lead_summary_job(pool, JobRuns(pool, clock), clock).tick()


async def read_all(pool: Pool, since: datetime) -> list[Any]:
    trends = Trends(pool)
    return [
        await trends.count("day", since, KOLKATA),
        await trends.count("month", since, KOLKATA),
        await trends.count_by_hour_of_week(since, KOLKATA),
        await trends.top_values(since),
    ]


async def test_past_days_count_the_same_before_and_after_the_job(admin: Admin, pool: Pool) -> None:
    last_touch = {"utm_source": "google", "utm_campaign": "winter"}
    first_touch = {"first_utm_source": "search", "landing_page": "https://x.example/a?utm_source=google"}
    sources = [Source(**last_touch, **first_touch), Source(utm_source="letter"), None]
    for hours in range(0, 24 * 9, 5):
        number = hours // 5
        await admin.add_lead(
            "spam" if number % 7 == 3 else "received",
            site="shop" if number % 2 else "blog",
            source=sources[number % 3],
            occurred_at=NOW - timedelta(hours=hours),
        )
    since = (NOW - 7 * DAY).astimezone(KOLKATA).replace(hour=0, minute=0, second=0).astimezone(UTC)
    counted_here = await read_all(pool, since)
    await summarize(pool)
    assert await admin.db.fetchval("SELECT count(*) FROM lead_summary WHERE dimension = 'all'") > 30
    assert await read_all(pool, since) == counted_here
    days, _, hours_of_week, tops = counted_here
    total = sum(day.leads for day in days.values())
    rows = "SELECT count(*) FROM lead_inbox WHERE created_at_utc >= $1 AND status {} 'spam'"
    assert total == await admin.db.fetchval(rows.format("<>"), since)
    assert sum(day.spam for day in days.values()) == await admin.db.fetchval(rows.format("="), since)
    assert sum(hours_of_week.values()) == total
    assert {sum(values.values()) for values in tops.values()} == {total}
    assert list(tops["source"])[-1] == "", "leads without a source are last"
    assert set(tops["first_source"]) == {"search", "letter", ""}
    assert set(tops["campaign"]) == {"winter", ""}
    assert set(tops["landing_page"]) == {"https://x.example/a", ""}
    assert set(tops["site"]) == {"shop", "blog"}


async def test_a_change_of_an_old_lead_and_a_late_lead_change_the_past(admin: Admin, pool: Pool) -> None:
    at = MIDNIGHT - 3 * DAY + timedelta(hours=7)
    lead = await admin.add_lead(occurred_at=at)
    await summarize(pool)
    await admin.request("PATCH", f"/admin/leads/{lead.lead_id}/status", new_status="spam")
    await admin.add_lead(occurred_at=at, service="Late")
    await summarize(pool)
    zone = ZoneInfo("UTC")
    assert await Trends(pool).count("day", MIDNIGHT - 9 * DAY, zone) == {MIDNIGHT - 3 * DAY: Count(1, 1)}
    assert (await Trends(pool).top_values(MIDNIGHT - 9 * DAY))["service"] == {"Late": 1}


async def test_only_the_most_frequent_values_are_listed(admin: Admin, pool: Pool) -> None:
    for number in range(10):
        for _ in range(1 + (number == 9)):
            await admin.add_lead(service=f"Service {number}", occurred_at=NOW)
    services = (await Trends(pool).top_values(NOW - DAY))["service"]
    assert list(services)[:2] == ["Service 9", "Service 0"]
    assert len(services) == 8


async def set_status(admin: Admin, lead_id: Any, *statuses: str) -> None:
    for status in statuses:
        await admin.request("PATCH", f"/admin/leads/{lead_id}/status", new_status=status)


async def test_a_response_is_the_first_change_of_a_received_lead(admin: Admin, pool: Pool) -> None:
    now = datetime.now(UTC)
    for hours, assignee, statuses in (
        (1, "ann", ["processing", "contacted", "won"]),
        (3, "ann", ["lost"]),
        (9, None, ["contacted"]),
        (20, None, ["contacted", "received"]),  # taken back
        (30, None, ["spam"]),
        (40, None, []),
    ):
        lead = await admin.add_lead(occurred_at=now - timedelta(hours=hours))
        await set_status(admin, lead.lead_id, *statuses)
        if assignee:
            await admin.edit_lead(lead.lead_id, assignee=assignee)
    numbers = await Responses(pool).numbers(datetime.now(UTC), MIDNIGHT, MIDNIGHT - DAY)
    assert numbers.response.answered == 3
    assert numbers.response.seconds == pytest.approx(3 * 3600, abs=60)
    assert numbers.response_before == ResponseTime(0, None)
    assert numbers.decisions == Decisions(won=1, decided=2)
    assert (numbers.decisions.rate, numbers.decisions_before.rate) == (0.5, None)
    assert numbers.unanswered.leads == 2
    assert numbers.unanswered.oldest_at == pytest.approx(now - timedelta(hours=40), abs=timedelta(seconds=1))
    # Of the two that came before, one is spam now.
    assert numbers.unanswered.leads_before == 1
    times = await Responses(pool).response_times(datetime.now(UTC))
    assert {name: time.answered for name, time in times.items()} == {"ann": 2, "": 1}
    assert times["ann"].seconds == pytest.approx(2 * 3600, abs=60)


async def test_an_erasure_keeps_the_response_without_the_assignee(admin: Admin, pool: Pool) -> None:
    lead = await admin.add_lead(occurred_at=datetime.now(UTC) - timedelta(hours=2))
    await admin.edit_lead(lead.lead_id, assignee="ann")
    await set_status(admin, lead.lead_id, "won")
    await admin.db.execute("SELECT erase_lead($1, 'ann')", lead.lead_id)
    (row,) = await admin.db.fetch("SELECT outcome, assignee FROM lead_response")
    assert tuple(row) == ("won", None)


async def test_today_is_compared_with_yesterday_until_the_same_time(admin: Admin, pool: Pool) -> None:
    now = MIDNIGHT + timedelta(hours=10)
    for hours, status in ((-24, "received"), (-15, "spam"), (-13, "received"), (1, "received"), (2, "spam")):
        await admin.add_lead(status, occurred_at=MIDNIGHT + timedelta(hours=hours))
    numbers = await Responses(pool).numbers(now, MIDNIGHT, MIDNIGHT - DAY)
    assert (numbers.arrivals.leads, numbers.arrivals.spam) == (1, 1)
    assert (numbers.arrivals_before.leads, numbers.arrivals_before.spam) == (1, 1)
