"""The pages of leads: search, edit, follow-up, and leads that are not stored yet."""

import re
from collections.abc import AsyncIterator

import httpx
import pytest

from runtime.settings import Postgres
from tests.support.factories import lead as make_lead
from tests.support.services.admin import Admin
from tests.support.services.dashboard import HTMX, running_dashboard, sign_in
from tests.support.stack import Stack


@pytest.fixture
async def admin(postgres: Postgres, stack: Stack) -> AsyncIterator[Admin]:
    async with running_dashboard(postgres, stack) as running:
        yield running


async def test_search_and_edit_work_without_javascript(admin: Admin) -> None:
    csrf = await sign_in(admin)
    lead, other = await admin.add_lead(name="Grace Hopper"), await admin.add_lead(name="Ada Lovelace")
    found = await admin.client.post("/admin/ui/leads", data={"csrf": csrf, "q": "hop", "status": ""})
    assert found.status_code == 200
    assert f"/admin/ui/leads/{lead.lead_id}" in found.text
    assert str(other.lead_id) not in found.text
    url = f"/admin/ui/leads/{lead.lead_id}"
    response = await admin.client.post(
        f"{url}/edit", data={"csrf": csrf, "assignee": "ann", "notes": "a\r\nb"}
    )
    assert (response.status_code, response.headers["location"]) == (303, f"{url}?saved=1")
    page = (await admin.client.get(response.headers["location"])).text
    assert '<p class="toast good">Saved.</p>' in page
    assert 'value="ann"' in page
    stored = await admin.db.fetchrow("SELECT name, notes FROM lead_inbox WHERE id = $1", lead.lead_id)
    assert stored is not None
    assert tuple(stored) == ("Grace Hopper", "a\nb"), "a form changes only the fields that it has"


def version_of(html: str) -> str:
    """Return the version of the lead in the follow-up form of a page or fragment."""
    found = re.search(r'id="follow-up-version" name="expected_updated_at" value="([^"]+)"', html)
    assert found, html
    return found.group(1)


async def change_status(admin: Admin, url: str, csrf: str, status: str, version: str) -> str:
    """Change the status on the lead's page, and return the follow-up form's version."""
    form = {"csrf": csrf, "status": status, "seen": version}
    response = await admin.client.post(f"{url}/status", data=form, headers=HTMX)
    assert response.status_code == 200, response.text
    return version_of(response.text)


async def save_notes(admin: Admin, url: str, csrf: str, notes: str, version: str) -> httpx.Response:
    form = {"csrf": csrf, "notes": notes, "expected_updated_at": version}
    return await admin.client.post(f"{url}/edit", data=form, headers=HTMX)


async def test_regression_notes_can_be_saved_after_a_change_of_status(admin: Admin) -> None:
    csrf = await sign_in(admin)
    url = f"/admin/ui/leads/{(await admin.add_lead()).lead_id}"
    version = await change_status(
        admin, url, csrf, "contacted", version_of((await admin.client.get(url)).text)
    )
    assert (await save_notes(admin, url, csrf, "she wants a shop", version)).status_code == 200
    # After another user's change, a change of status does not make the form valid again.
    stale = version_of((await admin.client.get(url)).text)
    assert (await save_notes(admin, url, csrf, "another user's", stale)).status_code == 200
    version = await change_status(admin, url, csrf, "won", stale)
    assert (await save_notes(admin, url, csrf, "mine, over theirs", version)).status_code == 409
    assert await admin.db.fetchval("SELECT notes FROM lead_inbox") == "another user's"


async def test_saved_notes_are_confirmed_and_can_be_saved_again(admin: Admin) -> None:
    csrf = await sign_in(admin)
    url = f"/admin/ui/leads/{(await admin.add_lead()).lead_id}"
    version = version_of((await admin.client.get(url)).text)
    saved = await save_notes(admin, url, csrf, "first", version)
    assert ">Saved.<" in saved.text
    assert saved.headers["HX-Trigger"] == "refresh"
    assert f'id="status-version" name="seen" value="{version_of(saved.text)}"' in saved.text
    version = await change_status(admin, url, csrf, "contacted", version_of(saved.text))
    assert (await save_notes(admin, url, csrf, "second", version)).status_code == 200
    assert await admin.db.fetchval("SELECT notes FROM lead_inbox") == "second"


async def test_a_lead_that_is_not_stored_can_be_shown_and_edited(admin: Admin) -> None:
    csrf, lead = await sign_in(admin), make_lead(name="Ada <Queued>", email="adda@example.com", phone="0123")
    await admin.add_queue_row(
        stage="persister",
        kind="store",
        lead_id=lead.lead_id,
        state="dead",
        next_attempt_at=None,
        payload=lead.model_dump_json().encode(),
    )
    url = f"/admin/ui/leads/{lead.lead_id}"
    page = (await admin.client.get(url)).text
    for shown in ("Ada &lt;Queued&gt;", "adda@example.com", "0123", "not stored yet"):
        assert shown in page
    form = (await admin.client.get(f"{url}/edit")).text
    version = re.search(r'name="expected_updated_at" value="([^"]+)"', form)
    assert version
    fixed = {"csrf": csrf, "email": "ada@example.com", "expected_updated_at": version.group(1)}
    assert (await admin.client.post(f"{url}/edit", data=fixed)).status_code == 303
    assert "ada@example.com" in (await admin.client.get(url)).text
    row = await admin.db.fetchrow("SELECT payload, original_payload FROM replay_queue")
    assert row is not None
    assert (b"ada@example.com" in row["payload"], b"adda@example.com" in row["original_payload"]) == (
        True,
        True,
    )


async def test_the_id_of_a_request_is_found(admin: Admin) -> None:
    csrf, lead = await sign_in(admin), await admin.add_lead(request_id="Key-2026/1")
    await admin.add_lead(request_id="Key-2026/2")
    found = (await admin.client.post("/admin/ui/leads", data={"csrf": csrf, "q": "Key-2026/1"})).text
    assert "1 lead found" in found
    assert str(lead.lead_id) in found


async def test_an_umlaut_is_found_without_and_with_its_e(admin: Admin) -> None:
    csrf = await sign_in(admin)
    await admin.add_lead(name="Jörg Müller")
    for words in ("mueller", "joerg muller", '"Müller"'):
        found = (await admin.client.post("/admin/ui/leads", data={"csrf": csrf, "q": words})).text
        assert "1 lead found" in found, words


async def test_words_in_the_url_are_ignored_with_a_notice(admin: Admin) -> None:
    await sign_in(admin)
    assert "in this URL are ignored" in (await admin.client.get("/admin/ui/leads?q=ada")).text
    assert "in this URL are ignored" not in (await admin.client.get("/admin/ui/leads")).text


async def test_a_search_without_a_letter_or_digit_says_so(admin: Admin) -> None:
    csrf = await sign_in(admin)
    await admin.add_lead()
    for words in ("'", '"'):
        found = (await admin.client.post("/admin/ui/leads", data={"csrf": csrf, "q": words})).text
        assert "Search for a letter or a digit" in found
    found = (await admin.client.post("/admin/ui/leads", data={"csrf": csrf, "q": "zzz"})).text
    assert "No leads match" in found


async def test_held_leads_are_linked_with_their_number(admin: Admin) -> None:
    await sign_in(admin)
    await admin.add_lead("held")
    page = (await admin.client.get("/admin/ui/leads")).text
    assert '<a class="button small" href="/admin/ui/held">1 held lead</a>' in page
