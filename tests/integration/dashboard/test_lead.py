"""A lead's own page: the other requests of its person, and its activity with notes."""

import re
from collections.abc import AsyncIterator
from uuid import uuid4

import pytest

from runtime.settings import Postgres
from services.admin.dashboard.pages.lead import OTHERS_MAX
from tests.support.services.admin import Admin
from tests.support.services.dashboard import HTMX, csrf_token, running_dashboard, sign_in
from tests.support.stack import Stack


@pytest.fixture
async def admin(postgres: Postgres, stack: Stack) -> AsyncIterator[Admin]:
    async with running_dashboard(postgres, stack) as running:
        await sign_in(running)
        yield running


def others_of(page: str) -> str:
    """Return the list of other requests on a lead's page; empty if there is none."""
    found = re.search(r'<ul class="others">.*?</ul>', page, re.DOTALL)
    return found[0] if found else ""


async def test_other_requests_of_the_same_mailbox_or_phone_are_linked(admin: Admin) -> None:
    lead = await admin.add_lead(email="ada@example.com", phone="+44 20 7946 0958")
    url = f"/admin/ui/leads/{lead.lead_id}"
    assert others_of((await admin.client.get(url)).text) == ""
    same_mailbox = await admin.add_lead("won", email="Ada@Example.com", phone=None, service="SEO")
    same_phone = await admin.add_lead(email="office@example.com", phone="(020) 79460958", service="Shop")
    await admin.add_lead(email="ada2@example.com", phone="7946 0959")
    others = others_of((await admin.client.get(url)).text)
    linked = set(re.findall(r'href="/admin/ui/leads/([\w-]+)"', others))
    assert linked == {str(same_mailbox.lead_id), str(same_phone.lead_id)}
    for shown in ("SEO", "Won", "Shop", "New", "office<wbr>@example.com", "<time"):
        assert shown in others
    assert "ada@example" not in others.lower(), "the address of this lead is above"


async def test_a_poll_does_not_search_for_other_requests(admin: Admin) -> None:
    lead = await admin.add_lead(email="ada@example.com")
    await admin.add_lead(email="ada@example.com")
    url = f"/admin/ui/leads/{lead.lead_id}"
    assert others_of((await admin.client.get(url)).text)
    assert others_of((await admin.client.get(url, headers=HTMX)).text) == ""


async def test_the_list_of_other_requests_is_bounded(admin: Admin) -> None:
    lead = await admin.add_lead(email="ada@example.com")
    for _ in range(OTHERS_MAX):
        await admin.add_lead(email="ada@example.com")
    url = f"/admin/ui/leads/{lead.lead_id}"
    page = (await admin.client.get(url)).text
    assert others_of(page).count("<li>") == OTHERS_MAX
    assert "Search for the address" not in page
    await admin.add_lead(email="ada@example.com")
    page = (await admin.client.get(url)).text
    assert others_of(page).count("<li>") == OTHERS_MAX
    assert "Search for the address" in page


async def test_notes_work_without_scripts(admin: Admin) -> None:
    lead = await admin.add_lead()
    url = f"/admin/ui/leads/{lead.lead_id}"
    csrf = csrf_token((await admin.client.get(url)).text)
    written = await admin.client.post(f"{url}/notes", data={"csrf": csrf, "text": "Call <b>\r\nlater"})
    assert (written.status_code, written.headers["location"]) == (303, url)
    assert await admin.db.fetchval("SELECT body FROM lead_note") == "Call <b>\nlater"
    page = (await admin.client.get(url)).text
    assert "Call &lt;b&gt;\nlater" in page
    found = re.search(rf'href="({url}/notes/[\w-]+)"', page)
    assert found
    form = (await admin.client.get(found[1])).text
    version = re.search(r'name="expected_updated_at" value="([^"]+)"', form)
    assert version
    edit = {"csrf": csrf, "text": "mine", "expected_updated_at": version[1]}
    assert (await admin.client.post(found[1], data=edit)).status_code == 303
    # A second window still has the old text: it keeps what was typed, and shows what the note is now.
    late = await admin.client.post(found[1], data=edit | {"text": "theirs"})
    assert late.status_code == 409
    assert ">\ntheirs</textarea>" in late.text
    assert ">mine</p>" in late.text
    blank = await admin.client.post(found[1], data=edit | {"text": " "})
    assert (blank.status_code, "10,000 characters" in blank.text) == (422, True)
    assert (await admin.client.post(f"{url}/notes", data={"csrf": csrf, "text": " "})).status_code == 422
    deleted = await admin.client.post(f"{found[1]}/delete", data={"csrf": csrf})
    assert (deleted.status_code, deleted.headers["location"]) == (303, url)
    assert (await admin.client.get(found[1])).status_code == 404


async def test_somebody_else_s_note_has_no_link_and_no_page_to_edit_it(admin: Admin) -> None:
    lead = await admin.add_lead()
    note_id = uuid4()
    await admin.db.execute(
        "INSERT INTO lead_note (id, lead_id, author, body) VALUES ($1, $2, 'bob', 'Of Bob')",
        note_id,
        lead.lead_id,
    )
    url = f"/admin/ui/leads/{lead.lead_id}"
    page = (await admin.client.get(url)).text
    assert "Of Bob" in page
    assert str(note_id) not in page
    csrf = csrf_token(page)
    assert (await admin.client.get(f"{url}/notes/{note_id}")).status_code == 403
    for action in ("", "/delete"):
        form = {"csrf": csrf, "text": "x", "expected_updated_at": "2026-01-01T00:00:00Z"}
        answer = await admin.client.post(f"{url}/notes/{note_id}{action}", data=form)
        assert answer.status_code == 403
    assert await admin.db.fetchval("SELECT body FROM lead_note") == "Of Bob"


async def test_the_field_notes_is_the_oldest_entry_and_can_be_edited(admin: Admin) -> None:
    lead = await admin.add_lead()
    url = f"/admin/ui/leads/{lead.lead_id}"
    assert 'name="notes"' not in (await admin.client.get(f"{url}/edit")).text
    await admin.db.execute("UPDATE lead_inbox SET notes = 'From the CRM'")
    assert re.search(r"Received from.*From the CRM", (await admin.client.get(url)).text, re.DOTALL)
    form = (await admin.client.get(f"{url}/edit")).text
    assert ">\nFrom the CRM</textarea>" in form
    edit = {"csrf": csrf_token(form), "notes": "Corrected"}
    assert (await admin.client.post(f"{url}/edit", data=edit)).status_code == 303
    assert await admin.db.fetchval("SELECT notes FROM lead_inbox") == "Corrected"


async def test_a_failure_and_its_retries_are_one_entry(admin: Admin) -> None:
    lead = await admin.add_lead()
    await admin.add_email(lead.lead_id, "welcome", "waiting")
    queue_id = await admin.add_queue_row(lead_id=lead.lead_id)
    for event in ("lead.parked", "lead.replayed", "lead.parked"):
        await admin.db.execute(
            "INSERT INTO audit_log (event_id, event, actor, lead_id, details_json)"
            " VALUES (gen_random_uuid(), $1, 'flusher', $2, $3)",
            event,
            lead.lead_id,
            '{"kind": "welcome", "reason": "smtp 451", "attempts": 1}',
        )
    page = (await admin.client.get(f"/admin/ui/leads/{lead.lead_id}")).text
    assert page.count('<strong class="event-title">') == 1
    assert page.count(">Pending</span>") == 1
    assert page.count("Send again") == 2, "the button and its label"
    assert str(queue_id) in page.partition("<summary>Technical details")[2]


async def test_answers_are_text_and_only_web_urls_are_links(admin: Admin) -> None:
    file = {"id": "x", "name": "<plan>", "url": "https://files.example/1?a=1&b=2"}
    extra = {"services": ["Web", "SEO"], "file": [file], "bad": "javascript:alert(1)"}
    lead = await admin.add_lead(extra=extra)
    page = (await admin.client.get(f"/admin/ui/leads/{lead.lead_id}")).text
    url = "https://files.example/1?a=1&amp;b=2"
    assert ">Web, SEO<" in page
    assert f'&lt;plan&gt; (<a href="{url}" rel="noopener noreferrer">{url}</a>)' in page
    assert 'href="javascript' not in page


async def test_an_email_that_is_sent_again_shows_the_current_address(admin: Admin) -> None:
    lead = await admin.add_lead(email="new@example.com")
    await admin.add_email(lead.lead_id, "welcome", "dead")
    await admin.db.execute("UPDATE email_delivery SET recipient = 'old@example.com'")
    url = f"/admin/ui/leads/{lead.lead_id}"
    assert "To <bdi>old@example.com" in (await admin.client.get(url)).text
    await admin.add_queue_row(lead_id=lead.lead_id)
    page = (await admin.client.get(url)).text
    assert "To <bdi>new@example.com" in page
    assert "To <bdi>old@example.com" not in page
