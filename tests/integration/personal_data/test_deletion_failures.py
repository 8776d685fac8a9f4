"""The dashboard's deletion of a person's data when PostgreSQL refuses a part or is unavailable."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import pytest

from runtime.settings import Postgres
from tests.integration.personal_data.test_erasure_by_address import json_of, site_row
from tests.support.factories import lead as make_lead
from tests.support.services.admin import Admin, queued_row
from tests.support.services.dashboard import running_dashboard, sign_in
from tests.support.services.personal_data import ADA, delete, erased, retry
from tests.support.stack import Database, Stack
from tests.support.wait import eventually


@pytest.fixture
async def admin(postgres: Postgres, stack: Stack) -> AsyncIterator[Admin]:
    async with running_dashboard(postgres, stack) as running:
        yield running


async def refuse(db: Any, table: str, *ids: UUID, event: str = "UPDATE", code: str = "P0001") -> None:
    """Have PostgreSQL refuse to write these rows; `DROP FUNCTION refuse CASCADE` ends it."""
    listed = ", ".join(f"'{each}'" for each in ids)
    await db.execute(
        f"""
        CREATE SEQUENCE attempts;
        CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN
            IF new.id IN ({listed}) THEN
                PERFORM nextval('public.attempts');  -- survives the rollback
                RAISE EXCEPTION 'refused for Ada' USING ERRCODE = '{code}';
            END IF;
            RETURN new;
        END $$;
        CREATE TRIGGER refuse BEFORE {event} ON {table} FOR EACH ROW EXECUTE FUNCTION refuse();
        """
    )


async def test_a_lead_that_the_database_refuses_is_deleted_by_try_again(admin: Admin, db: Any) -> None:
    word = await sign_in(admin)
    lead, other, refused = [await admin.add_lead(email=ADA) for _ in range(3)]
    unticked = await admin.add_lead(email=ADA)
    record = await admin.add_queue_row(**site_row(json_of(email=ADA)))
    await refuse(db, "lead_inbox", refused.lead_id)
    answer = await delete(admin, word, lead.lead_id, other.lead_id, refused.lead_id)
    assert (answer.status_code, "Some data was not deleted" in answer.text) == (200, True)
    assert "2 leads of this person and 1 failed delivery" in answer.text
    assert "1 item could not be deleted" in answer.text
    assert "database answered P0001" in answer.text
    assert "refused for Ada" not in answer.text
    assert await erased(db) == {lead.lead_id, other.lead_id}
    again = (await retry(admin, lead.lead_id, answer.text)).text
    assert "0 leads of this person" in again
    assert "1 item could not be deleted" in again
    await db.execute("DROP FUNCTION refuse CASCADE")
    # What came in the meantime was not confirmed.
    later = await admin.add_queue_row(**site_row(json_of(email=ADA)))
    done = await retry(admin, lead.lead_id, again)
    assert (done.status_code, "The deletion is complete" in done.text) == (200, True)
    assert "Try again</button>" not in done.text
    assert await erased(db) == {lead.lead_id, other.lead_id, refused.lead_id}
    assert await db.fetchval("SELECT status FROM lead_inbox WHERE id = $1", unticked.lead_id) == "received"
    payloads = dict(await db.fetch("SELECT id, payload FROM replay_queue"))
    assert (payloads[record], bool(payloads[later])) == (None, True)
    assert await db.fetchval("SELECT count(*) FROM audit_log WHERE event = 'lead.erased'") == 4


async def test_a_record_that_the_database_refuses_is_deleted_by_try_again(admin: Admin, db: Any) -> None:
    word, lead = await sign_in(admin), await admin.add_lead(email=ADA)
    refused, other = [await admin.add_queue_row(**site_row(json_of(email=ADA))) for _ in range(2)]
    await refuse(db, "replay_queue", refused)
    answer = await delete(admin, word, lead.lead_id)
    assert f"Failed delivery <code>{refused}</code>" in answer.text
    assert "1 lead of this person and 1 failed delivery" in answer.text
    await db.execute("DROP FUNCTION refuse CASCADE")
    done = await retry(admin, lead.lead_id, answer.text)
    assert "0 leads of this person and 1 failed delivery" in done.text
    payloads = dict(await db.fetch("SELECT id, payload FROM replay_queue"))
    assert payloads == {refused: None, other: None}


async def test_an_outage_between_two_leads_is_reported_and_retried(
    admin: Admin, db: Any, database: Database, stack: Stack
) -> None:
    word = await sign_in(admin)
    leads = sorted([await admin.add_lead(email=ADA) for _ in range(3)], key=lambda each: each.lead_id)
    first, second, third = (each.lead_id for each in leads)
    # The first is erased; the second waits for this lock when the connections are cut.
    lock = db.transaction()
    await lock.start()
    await db.execute("SELECT FROM lead_inbox WHERE id = $1 FOR UPDATE", second)
    deleting = asyncio.create_task(delete(admin, word, first, second, third))

    async def waits() -> bool:
        return bool(await db.fetchval("SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)"))

    await eventually(waits, what="the second lead")
    async with stack.database_unavailable(database):
        answer = await deleting
        assert answer.status_code == 200
        assert "1 lead of this person" in answer.text
        assert "2 items could not be deleted" in answer.text
        assert "Nothing was changed" not in answer.text
        away = await retry(admin, first, answer.text)
        assert (away.status_code, "Nothing was changed" in away.text) == (503, True)
    await lock.rollback()
    assert await erased(db) == {first}
    done = await retry(admin, first, answer.text)
    assert "2 leads of this person" in done.text
    assert "The deletion is complete" in done.text
    assert await erased(db) == {first, second, third}


async def test_during_an_outage_not_every_lead_is_attempted(admin: Admin, db: Any) -> None:
    word = await sign_in(admin)
    leads = [(await admin.add_lead(email=ADA)).lead_id for _ in range(5)]
    await refuse(db, "lead_inbox", *leads, code="57014")
    answer = await delete(admin, word, *leads)
    assert "5 items could not be deleted" in answer.text
    assert await db.fetchval("SELECT last_value FROM attempts") == 2
    await db.execute("DROP FUNCTION refuse CASCADE")
    assert "5 leads of this person" in (await retry(admin, leads[0], answer.text)).text


@pytest.mark.parametrize("address", ["'ada@example.com", None])
async def test_regression_a_lead_that_its_address_does_not_find_is_retried(
    admin: Admin, db: Any, address: str | None
) -> None:
    # The page said "Nothing was changed" although the other lead was deleted.
    word = await sign_in(admin)
    lead, others = make_lead(email=address or ADA), set[UUID]()
    if address:
        others = {(await admin.add_lead(email=address)).lead_id}
        await admin.add_queue_row(**queued_row(lead))
    else:
        await admin.add_queue_row(**queued_row(lead, payload=b"{}"))
    await refuse(db, "lead_inbox", lead.lead_id, event="INSERT", code="57014")
    answer = await delete(admin, word, lead.lead_id, *others, address=address or "")
    assert (answer.status_code, "Nothing was changed" in answer.text) == (200, False)
    assert f"{len(others)} lead{'' if others else 's'} of this person" in answer.text
    assert "1 item could not be deleted" in answer.text
    assert "database answered 57014" in answer.text
    assert await erased(db) == others
    await db.execute("DROP FUNCTION refuse CASCADE")
    done = await retry(admin, lead.lead_id, answer.text)
    assert "The deletion is complete" in done.text
    assert await erased(db) == {lead.lead_id, *others}
