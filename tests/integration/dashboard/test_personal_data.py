"""The pages that delete personal data: stored leads and leads that are not stored yet."""

from collections.abc import AsyncIterator
from uuid import uuid4

import pytest

from runtime.settings import Postgres
from tests.support.services.admin import Admin
from tests.support.services.dashboard import running_dashboard, sign_in
from tests.support.stack import Stack


@pytest.fixture
async def admin(postgres: Postgres, stack: Stack) -> AsyncIterator[Admin]:
    async with running_dashboard(postgres, stack) as running:
        yield running


async def test_a_lead_that_is_not_stored_can_be_exported_and_erased(admin: Admin) -> None:
    csrf, lead_id = await sign_in(admin), uuid4()
    await admin.add_queue_row(
        stage="persister", kind="store", lead_id=lead_id, reason="database refused the data (22001)"
    )
    url = f"/admin/ui/leads/{lead_id}"
    page = (await admin.client.get(url)).text
    assert "The database does not accept a value of this lead" in page
    assert f'action="{url}/export"' in page
    assert f'href="{url}/erase"' in page
    assert (await admin.client.post(f"{url}/export", data={"csrf": csrf})).status_code == 200
    # Its record names no address, so none has to be typed.
    assert "Type the address" not in (await admin.client.get(f"{url}/erase")).text
    deleted = await admin.client.post(f"{url}/erase", data={"csrf": csrf})
    assert (deleted.status_code, "Personal data deleted" in deleted.text) == (200, True)
    assert "The personal data of this lead is deleted" in (await admin.client.get(url)).text
    assert await admin.db.fetchval("SELECT payload FROM replay_queue") is None


async def test_personal_data_is_deleted_by_person_after_confirmation(admin: Admin) -> None:
    csrf = await sign_in(admin)
    lead, other = await admin.add_lead(email="ada@example.com"), await admin.add_lead(email="Ada@example.com")
    stranger = await admin.add_lead(email="grace@example.com")
    url = f"/admin/ui/leads/{lead.lead_id}/erase"
    page = (await admin.client.get(url)).text
    assert "2 leads of this person" in page
    assert page.count("Ada Lovelace") >= 2
    assert str(other.lead_id) in page
    assert str(stranger.lead_id) not in page
    mistyped = await admin.client.post(url, data={"csrf": csrf, "address": "grace@example.com"})
    assert (mistyped.status_code, "Nothing was deleted" in mistyped.text) == (422, True)
    assert await admin.db.fetchval("SELECT count(*) FROM lead_inbox WHERE status = 'erased'") == 0
    fields = {"csrf": csrf, "address": " ADA@example.com", "lead_ids": str(other.lead_id)}
    deleted = await admin.client.post(url, data=fields)
    assert (deleted.status_code, "2 leads of this person" in deleted.text) == (200, True)
    unerased = await admin.db.fetch("SELECT id FROM lead_inbox WHERE status <> 'erased'")
    assert [row["id"] for row in unerased] == [stranger.lead_id]


async def test_regression_a_lead_without_an_address_is_confirmed_by_its_phone(admin: Admin) -> None:
    csrf = await sign_in(admin)
    lead = await admin.add_lead(email=None, phone="+44 20 7946 0958")
    same = await admin.add_lead(email=None, phone="020 7946 0958")
    family = await admin.add_lead(email="bob@example.com", phone="020 7946 0958")
    url = f"/admin/ui/leads/{lead.lead_id}/erase"
    page = (await admin.client.get(url)).text
    assert "3 leads of this person, found by phone" in page
    assert "1 lead has another address" in page
    ticked = {box.split('"')[0] for box in page.split('name="lead_ids" value="') if " checked" in box[:300]}
    assert ticked == {str(lead.lead_id), str(same.lead_id)}
    untyped = await admin.client.post(url, data={"csrf": csrf})
    assert (untyped.status_code, "not the phone number of this lead" in untyped.text) == (422, True)
    fields = {"csrf": csrf, "address": "020 79460958", "lead_ids": str(same.lead_id)}
    deleted = await admin.client.post(url, data=fields)
    assert (deleted.status_code, "2 leads of this person" in deleted.text) == (200, True)
    unerased = await admin.db.fetch("SELECT id FROM lead_inbox WHERE status <> 'erased'")
    assert [row["id"] for row in unerased] == [family.lead_id]
