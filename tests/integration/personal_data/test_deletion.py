"""The dashboard's deletion of a person's data: which leads are listed, ticked and deleted."""

import re
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID, uuid4

import pytest

from runtime.settings import Postgres
from services.admin.schemas.personal_data import LISTED_MAX
from tests.integration.personal_data.test_erasure_by_address import json_of, site_row
from tests.support.factories import lead as make_lead
from tests.support.services.admin import Admin, queued_row
from tests.support.services.dashboard import running_dashboard, sign_in
from tests.support.services.personal_data import ADA, delete, erased, url_of
from tests.support.stack import Stack


@pytest.fixture
async def admin(postgres: Postgres, stack: Stack) -> AsyncIterator[Admin]:
    async with running_dashboard(postgres, stack) as running:
        yield running


def boxes(page: str) -> dict[UUID, bool]:
    """The leads that the confirmation lists, and whether each is ticked."""
    found = re.findall(r'<input type="checkbox"[^>]*value="([^"]+)"([^>]*)>', page)
    return {UUID(value): " checked" in rest for value, rest in found}


async def correct(db: Any, lead_id: UUID, email: str) -> None:
    """Correct the address as an admin does: the first one stays in `original`."""
    await db.execute(
        "UPDATE lead_inbox SET original = jsonb_build_object('email', email), email = $2 WHERE id = $1",
        lead_id,
        email,
    )


async def test_a_lead_with_a_corrected_address_is_not_ticked(admin: Admin) -> None:
    await sign_in(admin)
    lead, other = await admin.add_lead(email=ADA), await admin.add_lead(email="Ada@Example.com")
    corrected = await admin.add_lead(email=ADA)
    await correct(admin.db, corrected.lead_id, "bob@example.com")
    page = (await admin.client.get(url_of(lead.lead_id))).text
    assert boxes(page) == {lead.lead_id: True, other.lead_id: True, corrected.lead_id: False}
    assert "another address: <bdi>bob@example.com</bdi>" in page
    # The lead of the page cannot be deselected.
    assert re.search(rf'value="{lead.lead_id}"[^>]* checked disabled>', page)


async def test_only_ticked_leads_are_deleted(admin: Admin) -> None:
    word = await sign_in(admin)
    lead, ticked, unticked = [await admin.add_lead(email=ADA) for _ in range(3)]
    corrected = await admin.add_lead(email=ADA)
    await correct(admin.db, corrected.lead_id, "bob@example.com")
    record = await admin.add_queue_row(**site_row(json_of(email=ADA)))
    answer = await delete(admin, word, lead.lead_id, ticked.lead_id)
    assert answer.status_code == 200
    assert await erased(admin.db) == {lead.lead_id, ticked.lead_id}
    assert await admin.db.fetchval("SELECT payload FROM replay_queue WHERE id = $1", record) is None
    assert "2 leads of this person and 1 failed delivery" in answer.text
    _, _, kept = answer.text.partition("Not selected")
    assert "2 leads of this person were not selected" in kept
    assert str(unticked.lead_id) in kept
    assert str(corrected.lead_id) in kept


async def test_a_corrected_lead_is_deleted_if_it_is_ticked(admin: Admin) -> None:
    word = await sign_in(admin)
    lead, corrected = await admin.add_lead(email=ADA), await admin.add_lead(email=ADA)
    await correct(admin.db, corrected.lead_id, "bob@example.com")
    await delete(admin, word, lead.lead_id, corrected.lead_id)
    assert await erased(admin.db) == {lead.lead_id, corrected.lead_id}


async def test_a_mistyped_address_keeps_the_selection(admin: Admin) -> None:
    word = await sign_in(admin)
    lead, ticked, unticked = [await admin.add_lead(email=ADA) for _ in range(3)]
    answer = await delete(admin, word, lead.lead_id, ticked.lead_id, address="bob@example.com")
    assert answer.status_code == 422
    assert boxes(answer.text) == {lead.lead_id: True, ticked.lead_id: True, unticked.lead_id: False}
    assert await erased(admin.db) == set()


@pytest.mark.parametrize("field", ["lead_ids", "failed_ids"])
async def test_a_lead_of_another_address_is_not_deleted(admin: Admin, field: str) -> None:
    word = await sign_in(admin)
    lead, stranger = await admin.add_lead(email=ADA), await admin.add_lead(email="grace@example.com")
    record = await admin.add_queue_row(**site_row(json_of(email="grace@example.com")))
    fields = {"csrf": word, "address": ADA, field: [str(stranger.lead_id), str(record), str(uuid4())]}
    answer = await admin.client.post(url_of(lead.lead_id), data=fields)
    assert "3 selected items no longer have data of this person" in answer.text
    assert stranger.lead_id not in await erased(admin.db)
    assert await admin.db.fetchval("SELECT payload FROM replay_queue WHERE id = $1", record)


@pytest.mark.parametrize("ids", [[str(uuid4())] * (LISTED_MAX + 1), ["everything"]])
async def test_too_many_or_invalid_ids_delete_nothing(admin: Admin, ids: list[str]) -> None:
    word, lead = await sign_in(admin), await admin.add_lead(email=ADA)
    fields = {"csrf": word, "address": ADA, "lead_ids": ids}
    answer = await admin.client.post(url_of(lead.lead_id), data=fields)
    assert (answer.status_code, "Nothing was changed" in answer.text) == (422, True)
    assert await erased(admin.db) == set()


async def test_a_lead_that_is_not_stored_shows_name_and_address(admin: Admin) -> None:
    await sign_in(admin)
    lead = await admin.add_lead(email=ADA)
    waiting = make_lead(email="ADA@example.com", name="Ada Waiting")
    await admin.add_queue_row(**queued_row(waiting))
    moved = make_lead(email="bob@example.com", name="Bob Moved")
    before = moved.model_copy(update={"email": ADA}).model_dump_json().encode()
    await admin.add_queue_row(**queued_row(moved, original_payload=before))
    unreadable = uuid4()
    row = queued_row(
        waiting, lead_id=unreadable, origin_offset=2, payload=b"broken; Ada@example.com, x@y.example"
    )
    await admin.add_queue_row(**row)
    mailed = uuid4()
    await admin.add_email(mailed, "welcome", "sent")
    await admin.db.execute("UPDATE email_delivery SET recipient = $1 WHERE lead_id = $2", ADA, mailed)
    page = (await admin.client.get(url_of(lead.lead_id))).text
    assert boxes(page) == {
        lead.lead_id: True,
        waiting.lead_id: True,
        moved.lead_id: False,
        unreadable: True,
        mailed: True,
    }
    assert "Delete the lead of Ada Waiting, ADA@example.com" in page
    assert '<bdi>Ada Waiting</bdi> <span class="sub"><bdi>ADA@example.com</bdi></span>' in page
    assert "Delete the lead of Bob Moved, bob@example.com" in page
    assert page.count("Delete the lead of an unknown name, ada@example.com") == 2


async def test_the_records_of_a_bounded_number_of_leads_are_read(
    admin: Admin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.admin.dashboard.pages.personal_data.LISTED_MAX", 2)
    monkeypatch.setattr("services.admin.store.privacy.erasure.LISTED_MAX", 2)
    await sign_in(admin)
    oldest = await admin.add_queue_row(**queued_row(make_lead(email=ADA)))
    lead_id = await admin.db.fetchval("SELECT lead_id FROM replay_queue WHERE id = $1", oldest)
    for offset in (2, 3):
        await admin.add_queue_row(**queued_row(make_lead(email=ADA), origin_offset=offset))
    page = (await admin.client.get(url_of(lead_id))).text
    assert len(boxes(page)) == 2
    assert lead_id in boxes(page)
    assert page.count("Delete the lead of an unknown name") == 1
    assert "1 more lead of this person is not listed and will not be deleted" in page
