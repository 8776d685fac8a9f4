"""An alert lists the person's other leads. If they cannot be read in time, it is sent without them."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import asyncpg
import pytest

from contracts.leads import LeadReceived
from runtime.database.postgres import Pool, open_pool
from runtime.settings import Kafka, Postgres
from services.notifier import other_leads
from services.notifier.other_leads import COUNTED_MAX, LISTED_MAX, read_other_leads
from services.notifier.settings import Settings
from tests.support.factories import lead, post
from tests.support.mail.smtp import SmtpServer
from tests.support.services.notifier import notifier, wait_for_states
from tests.support.stack import Database

PHONE = "+44 (0)20 7946 0958"
INSERT = (
    "INSERT INTO lead_inbox (id, request_id, site, email, phone, service, status, name, message, body_sha256,"
    " created_at_utc) VALUES ($1, 'r', $2, $3, $4, $5, $6, 'n', 'm', '', $7)"
)


@pytest.fixture
async def pool(postgres: Postgres) -> AsyncIterator[Pool]:
    async with open_pool(postgres, "test") as opened:
        yield opened


async def store(db: Any, of: LeadReceived, status: str = "received") -> LeadReceived:
    await db.execute(INSERT, of.lead_id, of.site, of.email, of.phone, of.service, status, of.occurred_at)
    return of


def days_before(of: LeadReceived, days: int, **changes: Any) -> LeadReceived:
    return lead(occurred_at=of.occurred_at - timedelta(days=days), **changes)


async def test_leads_are_found_by_address_and_by_phone(db: Any, pool: Pool) -> None:
    asking = await store(db, lead(email="Ada@example.com", phone=PHONE))
    by_address = await store(db, days_before(asking, 2, email="ada@EXAMPLE.com", service="Hosting"))
    by_phone = await store(db, days_before(asking, 1, email=None, phone="020 7946 0958", service=""))
    by_both = await store(db, days_before(asking, 3, email="ada@example.com", phone=PHONE))
    await store(db, lead())
    (found,) = (await read_other_leads(pool, [asking])).values()
    assert [each.lead_id for each in found.latest] == [
        each.lead_id for each in (by_phone, by_address, by_both)
    ]
    assert (found.total, found.is_more) == (3, False)
    assert (found.latest[1].service, found.latest[1].received_at) == ("Hosting", by_address.occurred_at)


async def test_leads_of_another_site_and_those_without_an_alert_do_not_count(db: Any, pool: Pool) -> None:
    asking = lead(email="ada@example.com", phone="12345")
    for status in ("erased", "held", "spam"):
        await store(db, lead(email="ada@example.com"), status)
    await store(db, lead(email="ada@example.com", site="another"))
    await store(db, lead(phone="99 12345"))  # too short to be the number of one person
    assert await read_other_leads(pool, [asking, lead(email=None, phone="1")]) == {}


async def test_only_the_latest_are_listed_and_counting_is_bounded(db: Any, pool: Pool) -> None:
    asking, also = lead(email="ada@example.com"), lead(email="ADA@example.com")
    many = [days_before(asking, number, email="ada@example.com") for number in range(COUNTED_MAX + 5)]
    for each in many:
        await store(db, each)
    found = await read_other_leads(pool, [asking, also])
    assert found.keys() == {asking.lead_id, also.lead_id}
    for others in found.values():
        assert len(others.latest) == LISTED_MAX
        assert (others.total, others.is_more) == (COUNTED_MAX, True)


async def test_the_query_uses_the_indexes_of_persons(database: Database, db: Any) -> None:
    owner = await asyncpg.connect(database.owner)
    await owner.execute(
        "INSERT INTO lead_inbox (id, request_id, site, email, phone, service, status, name, message,"
        " body_sha256, created_at_utc)"
        " SELECT gen_random_uuid(), 'r', 'default', 'person' || n || '@example.com',"
        " '+44 20 ' || 70000000 + n, 'x', 'received', 'n', 'm', '', now() FROM generate_series(1, 12000) AS n"
    )
    await owner.execute("ANALYZE lead_inbox")
    await owner.close()
    leads = [lead(email=f"person{n}@example.com", phone=f"+44 20 {70000000 + n}") for n in range(1, 51)]
    given = {
        "lead_ids": [each.lead_id for each in leads],
        "sites": ["default"] * 50,
        "emails": [each.email for each in leads],
        "endings": [str(each.phone)[-8:] for each in leads],
        "bound": COUNTED_MAX + 1,
        "latest": LISTED_MAX,
    }
    order = other_leads._SQL.driver_adapter.var_sorted["other_leads"]
    explain = "EXPLAIN (ANALYZE, TIMING OFF) " + other_leads._SQL.other_leads.sql
    plan = "\n".join(row[0] for row in await db.fetch(explain, *(given[name] for name in order)))
    assert "lead_inbox_email" in plan
    assert "lead_inbox_phone_ending" in plan
    assert "Seq Scan on lead_inbox" not in plan


async def test_an_alert_shows_the_other_leads_and_a_welcome_none(
    settings: Settings, smtp: SmtpServer, kafka: Kafka, db: Any
) -> None:
    asking = lead(email="ada@example.com")
    before = await store(db, days_before(asking, 40, email="ada@example.com", service="Hosting"))
    async with notifier(settings):
        await post(kafka, asking)
        await wait_for_states(db, asking)
    (welcome,), (alert,) = smtp.of(asking.lead_id, "welcome"), smtp.of(asking.lead_id, "admin_alert")
    for kind in ("plain", "html"):
        assert "Other leads of this person (1)" in alert.text(kind)
        assert f"Hosting ({str(before.lead_id)[-8:]})" in alert.text(kind)
        assert "Hosting" not in welcome.text(kind)


async def test_an_alert_is_sent_without_them_if_the_database_hangs(
    settings: Settings, smtp: SmtpServer, kafka: Kafka, db: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(other_leads, "READ_SECONDS", 0.3)
    asking = lead(email="ada@example.com")
    await store(db, days_before(asking, 40, email="ada@example.com"))

    async def hang(*_: Any, **__: Any) -> Any:
        await asyncio.sleep(60)
        yield

    monkeypatch.setattr(other_leads, "_SQL", type("Slow", (), {"other_leads": staticmethod(hang)}))
    async with notifier(settings):
        await post(kafka, asking)
        await wait_for_states(db, asking)
    (alert,) = smtp.of(asking.lead_id, "admin_alert")
    assert "Other leads" not in alert.text()
