"""What an office manager does all day, in a real browser from the overview, with the clicks that it takes."""

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from pathlib import Path
from uuid import uuid4
from zoneinfo import ZoneInfo

import openpyxl
import pytest
import pytest_asyncio
from playwright.async_api import expect

from tests.e2e.conftest import Dashboard
from tests.e2e.office.person import doing
from tests.e2e.office.tasks import DOCUMENT, TASKS, render_document
from tests.support.wait import eventually
from tests.support.web.browser import TIMEOUT_MS

pytestmark = pytest.mark.asyncio(loop_scope="session")
VIEWER = ZoneInfo("Asia/Kolkata")
INSERT = """
INSERT INTO lead_inbox (id, request_id, site, email, service, name, message, body_sha256, assignee,
                        created_at_utc)
SELECT gen_random_uuid(), 'r', $1, $1 || n || '@example.com', $1, $1 || ' ' || n, '', repeat('0', 64),
       CASE WHEN n = 2 THEN 'bob' END, $3::timestamptz - n * interval '1 minute'
FROM generate_series(1, $2) AS n
"""


@pytest_asyncio.fixture(loop_scope="session", autouse=True)
async def inserted_leads(dashboard: Dashboard) -> AsyncIterator[None]:
    """Delete the inserted leads afterwards: the ledger does not know them."""
    yield
    await dashboard.watched.installation.fetch("DELETE FROM lead_inbox WHERE site LIKE 'office%'")


async def insert(dashboard: Dashboard, number: int, at: datetime | None = None) -> str:
    """Store so many leads of a site and a service, which is also a word of their names, and return it."""
    tag = f"office{uuid4().hex[:8]}"
    await dashboard.watched.installation.fetch(INSERT, tag, number, at or datetime.now(VIEWER))
    return tag


async def post(dashboard: Dashboard, **fields: object) -> tuple[str, str]:
    """Post a lead, wait until it is stored, and return its name and id."""
    name = f"Margaret{uuid4().hex[:10]}"
    lead_id = await dashboard.post(**({"name": name, "email": f"{name}@example.com"} | fields))
    sql = "SELECT 1 FROM lead_inbox WHERE id = $1"
    await eventually(lambda: dashboard.watched.installation.fetch(sql, lead_id), until=bool)
    return name, lead_id


async def post_refused(dashboard: Dashboard, reply: str, number: int) -> dict[str, str]:
    """Post leads whose confirmation the mail server refuses; return the names by address once it has."""
    smtp, tag = dashboard.watched.smtp, f"Refused{uuid4().hex[:8]}"
    names = {f"{tag}.{n}@example.com": f"{tag}x{n}" for n in range(number)}
    smtp.always |= {f"rcpt:{email}": reply for email in names}
    ids = await asyncio.gather(*(dashboard.post(name=name, email=email) for email, name in names.items()))
    sql = "SELECT 1 FROM replay_queue WHERE kind = 'welcome' AND state = 'dead' AND lead_id = ANY($1::uuid[])"
    await eventually(
        lambda: dashboard.watched.installation.fetch(sql, ids), until=lambda rows: len(rows) == number
    )
    return names


def repair(dashboard: Dashboard, names: dict[str, str]) -> None:
    for email in names:
        del dashboard.watched.smtp.always[f"rcpt:{email}"]


async def test_a_lead_is_found_by_a_part_of_its_name(dashboard: Dashboard) -> None:
    name, _ = await post(dashboard)
    async with doing(dashboard, "find_by_name") as person:
        await person.find(name[4:-2].lower(), name)


async def test_a_lead_is_found_by_its_phone_number(dashboard: Dashboard) -> None:
    digits = f"{uuid4().int % 10**8:08}"
    name, _ = await post(dashboard, phone=f"+44 20 {digits}")
    async with doing(dashboard, "find_by_phone") as person:
        await person.find(f"020 {digits[:4]} {digits[4:]}", name)


async def test_the_leads_from_yesterday_are_found(dashboard: Dashboard) -> None:
    noon = datetime.now(VIEWER).replace(hour=12, minute=0) - timedelta(days=1)
    tag, today = await insert(dashboard, 3, noon), await insert(dashboard, 1)
    async with doing(dashboard, "yesterday") as person:
        await person.open_page("Leads")
        await person.click(person.page.get_by_role("link", name="Yesterday", exact=True))
        await expect(person.page.get_by_role("link", name=f"{tag} 3")).to_be_visible(timeout=TIMEOUT_MS)
        await expect(person.page.get_by_role("link", name=today)).to_have_count(0)


async def test_ten_leads_are_marked_as_contacted(dashboard: Dashboard) -> None:
    tag = await insert(dashboard, 10)
    async with doing(dashboard, "ten_contacted") as person:
        page = person.page
        await person.open_page("Leads")
        await person.click(page.get_by_label("Search", exact=True))
        await person.type(tag)
        await expect(page.get_by_role("status").first).to_contain_text("10 leads found", timeout=TIMEOUT_MS)
        await person.click(page.get_by_label("Select all leads on this page"))
        await person.click(page.get_by_role("button", name="Set status"))
        await person.click(page.get_by_role("button", name="Set status to Contacted"))
        await expect(page.get_by_text("All 10 leads done")).to_be_visible(timeout=TIMEOUT_MS)


async def test_a_lead_is_assigned(dashboard: Dashboard) -> None:
    name, lead_id = await post(dashboard)
    async with doing(dashboard, "assign") as person:
        await person.find(name, name)
        await person.click(person.page.get_by_label("Assignee"))
        await person.type("bob")
        await person.click(person.page.locator("#follow-up").get_by_role("button", name="Save"))
        sql = "SELECT 1 FROM lead_inbox WHERE id = $1 AND assignee = 'bob'"
        await eventually(lambda: dashboard.watched.installation.fetch(sql, lead_id), until=bool)


async def test_a_note_is_written(dashboard: Dashboard) -> None:
    name, _ = await post(dashboard)
    async with doing(dashboard, "note") as person:
        await person.find(name, name)
        await person.click(person.page.get_by_placeholder("Write a note"))
        await person.type("Calls back on Monday.")
        await person.click(person.page.get_by_role("button", name="Save note"))
        activity = person.page.get_by_role("region", name="Activity")
        await expect(activity.locator(".note .lines")).to_have_text("Calls back on Monday.")


async def test_the_best_source_is_on_the_overview(dashboard: Dashboard) -> None:
    await post(dashboard, source={"utm_source": "fair"})
    async with doing(dashboard, "best_source") as person:
        best = person.page.get_by_role("region", name="Sources, first touch").get_by_role("link").first
        # The panel shows leads that are half a minute old at most.
        await expect(best).to_be_visible(timeout=4 * TIMEOUT_MS)


async def test_the_leads_of_this_week_are_exported_to_excel(dashboard: Dashboard, tmp_path: Path) -> None:
    name, _ = await post(dashboard)
    async with doing(dashboard, "week_to_excel") as person:
        page = person.page
        await person.open_page("Leads")
        await person.click(page.get_by_role("link", name="This week", exact=True))
        await expect(page.get_by_role("link", name="Remove the filter")).to_have_count(1)
        await person.click(page.get_by_role("button", name="Export", exact=True))
        async with page.expect_download() as started:
            await person.click(page.get_by_role("button", name="Excel file"))
        await (await started.value).save_as(tmp_path / "leads.xlsx")
        sheet = openpyxl.load_workbook(tmp_path / "leads.xlsx").active
        assert sheet is not None
        assert name in [cell.value for row in sheet.iter_rows() for cell in row]


async def test_a_lead_is_replied_to(dashboard: Dashboard) -> None:
    name, _ = await post(dashboard)
    async with doing(dashboard, "reply") as person:
        await person.find(name, name)
        reply = person.page.get_by_role("link", name="Reply")
        assert str(await reply.get_attribute("href")).startswith(f"mailto:{name}")
        await person.click(reply)


async def test_a_refused_email_is_explained_and_sent_again(dashboard: Dashboard) -> None:
    names = await post_refused(dashboard, "551 5.1.6 mailbox has moved, says the office", 1)
    ((email, name),) = names.items()
    async with doing(dashboard, "why_no_mail") as person:
        await person.find(email, name)
        activity = person.page.get_by_role("region", name="Activity")
        await expect(activity).to_contain_text("The mailbox has moved")
    repair(dashboard, names)
    async with doing(dashboard, "resend") as person:
        await person.find(email, name)
        await person.click(person.page.get_by_role("button", name="Send again: confirmation email"))
        activity = person.page.get_by_role("region", name="Activity")
        await expect(activity.locator(".badge", has_text="Failed")).to_have_count(0, timeout=2 * TIMEOUT_MS)


async def test_67_refused_emails_are_retried_after_the_repair(dashboard: Dashboard) -> None:
    names = await post_refused(dashboard, "556 5.1.10 no mail here", 67)
    repair(dashboard, names)
    async with doing(dashboard, "replay_67") as person:
        page = person.page
        await person.open_page("Failed deliveries")
        await person.click(page.get_by_role("link", name="Retry 67 deliveries"))
        await person.click(page.get_by_role("button", name="Retry 67 deliveries"))
        await expect(page.locator("#replay .outcomes")).to_contain_text("67Resolved", timeout=4 * TIMEOUT_MS)


async def test_the_overview_says_what_is_wrong_and_how_fast_leads_are_answered(dashboard: Dashboard) -> None:
    async with doing(dashboard, "anything_wrong") as person:
        headline = person.page.locator("#h-health")
        await expect(headline).to_be_in_viewport()
        assert (await headline.inner_text()).strip()
    async with doing(dashboard, "response_time") as person:
        await expect(
            person.page.get_by_role("heading", name="First response", exact=True)
        ).to_be_in_viewport()
        await expect(person.page.get_by_role("region", name="First response by assignee")).to_be_visible()


async def test_the_leads_are_sorted(dashboard: Dashboard) -> None:
    await insert(dashboard, 1)
    async with doing(dashboard, "sort") as person:
        await person.open_page("Leads")
        await person.click(
            person.page.get_by_role("columnheader", name="Lead", exact=True).get_by_role("link")
        )
        await expect(person.page.locator("[aria-sort=ascending]")).to_contain_text("Lead")


async def test_the_leads_are_filtered_by_site_and_assignee(dashboard: Dashboard) -> None:
    tag = await insert(dashboard, 4)
    async with doing(dashboard, "filter") as person:
        page = person.page
        await person.open_page("Leads")
        await person.click(page.get_by_text("More filters"))
        await person.click(page.get_by_label("Site", exact=True))
        await person.type(tag)
        await person.click(page.locator("#search").get_by_label("Assignee"))
        await person.type("bob")
        await person.press("Enter")
        await expect(page.locator("a.lead")).to_have_text([f"{tag} 2"], timeout=TIMEOUT_MS)


async def test_a_person_who_wrote_twice_is_erased(dashboard: Dashboard) -> None:
    name, _ = await post(dashboard)
    await post(dashboard, email=f"{name}@example.com")
    async with doing(dashboard, "erase_person") as person:
        page = person.page
        await person.find(name, name)
        await person.click(page.get_by_role("link", name="Delete personal data"))
        await person.click(page.get_by_label("Type the address to confirm"))
        await person.type(f"{name}@example.com")
        await person.click(page.get_by_role("button", name="Delete permanently"))
        await expect(page.get_by_role("heading", name="Personal data deleted")).to_be_visible()
        await expect(page.get_by_text("2 leads of this person")).to_be_visible()


async def test_every_task_is_in_the_document() -> None:
    assert len(TASKS) == 17
    assert DOCUMENT.read_text(encoding="utf-8") == render_document()
