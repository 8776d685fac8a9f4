"""The filters of the list of leads in a real browser: several statuses, periods with a name, unassigned."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import pytest
from playwright.async_api import expect

from tests.e2e.conftest import Dashboard
from tests.support.web.browser import SIZES, TIMEOUT_MS, Size, Visitor

pytestmark = pytest.mark.asyncio(loop_scope="session")
# One lead of each status; the first two have an assignee, and the first is as old as 40 days.
INSERT = """
INSERT INTO lead_inbox (id, request_id, site, email, service, status, name, message, body_sha256, assignee,
                        created_at_utc)
SELECT gen_random_uuid(), 'r', $1, n || '@example.com', $1, status, $1 || ' ' || status, '', repeat('0', 64),
       CASE WHEN n < 3 THEN 'bob' END, now() - CASE WHEN n = 1 THEN interval '40 days' ELSE '1 minute' END
FROM unnest(ARRAY['received', 'processing', 'contacted', 'won', 'lost', 'spam']) WITH ORDINALITY
    AS given (status, n)
"""


@asynccontextmanager
async def one_of_each_status(dashboard: Dashboard) -> AsyncIterator[str]:
    """Store a lead of each status for a service and a site, and yield the name of both."""
    tag, installation = f"sort{uuid4().hex[:8]}", dashboard.watched.installation
    await installation.fetch(INSERT, tag)
    try:
        yield tag
    finally:
        await installation.fetch("DELETE FROM lead_inbox WHERE service = $1", tag)


async def expect_leads(visitor: Visitor, tag: str, *statuses: str) -> None:
    """Wait until the list has exactly one lead of each of these statuses."""
    links = visitor.page.locator("#list a.lead")
    await expect(links).to_have_count(len(statuses), timeout=TIMEOUT_MS)
    assert set(await links.all_inner_texts()) == {f"{tag} {status}" for status in statuses}


def params(visitor: Visitor) -> dict[str, list[str]]:
    return parse_qs(urlsplit(visitor.page.url).query)


@pytest.mark.parametrize("size", SIZES)
async def test_several_statuses_are_chips_in_the_url(dashboard: Dashboard, size: Size) -> None:
    async with one_of_each_status(dashboard) as tag, dashboard.visit(size) as visitor:
        page = visitor.page
        await visitor.open(f"/admin/ui/leads?service={tag}")
        statuses = page.get_by_role("group", name="Status")
        if size == "phone":
            await page.get_by_text("More filters").click()
        await statuses.get_by_label("New").check()
        await expect_leads(visitor, tag, "received")
        await statuses.get_by_label("Contacted").check()
        await expect_leads(visitor, tag, "received", "contacted")
        assert params(visitor) == {"service": [tag], "status": ["received", "contacted"]}
        await page.reload()
        await expect_leads(visitor, tag, "received", "contacted")
        if size == "phone":
            await page.get_by_text("More filters").click()
        await expect(statuses.get_by_label("Contacted")).to_be_checked()
        await expect(statuses.get_by_label("Won")).not_to_be_checked()
        await visitor.check_in_both_themes()
        await page.get_by_role("link", name="Remove the filter Status: New").click()
        await expect_leads(visitor, tag, "contacted")
        await page.go_back()
        await expect_leads(visitor, tag, "received", "contacted")


async def test_the_url_has_the_name_of_a_period(dashboard: Dashboard) -> None:
    async with one_of_each_status(dashboard) as tag, dashboard.visit() as visitor:
        page = visitor.page
        await visitor.open(f"/admin/ui/leads?service={tag}")
        await page.get_by_role("link", name="Last 7 days", exact=True).click()
        await expect_leads(visitor, tag, "processing", "contacted", "won", "lost", "spam")
        assert params(visitor)["received"] == ["last_7_days"]
        assert "since" not in params(visitor)
        # Another filter keeps the period; the period keeps the other filter.
        await page.get_by_role("group", name="Status").get_by_label("Won").check()
        await expect_leads(visitor, tag, "won")
        await page.get_by_text("More filters").click()
        await expect(page.get_by_label("Received", exact=True)).to_have_value("last_7_days")
        await page.get_by_label("Received", exact=True).select_option("")
        await page.wait_for_url(re.compile(f"status=won&service={tag}$"))
        await visitor.open(f"/admin/ui/leads?service={tag}&received=yesterday")
        await expect(page.get_by_text("No leads match")).to_be_visible()
        await visitor.check()


async def test_unassigned_leads_are_found_by_their_word(dashboard: Dashboard) -> None:
    async with one_of_each_status(dashboard) as tag, dashboard.visit() as visitor:
        page = visitor.page
        await visitor.open(f"/admin/ui/leads?service={tag}")
        await page.get_by_text("More filters").click()
        assignee = page.get_by_role("search").get_by_label("Assignee")
        await assignee.fill("unassigned")
        await assignee.press("Enter")
        await expect_leads(visitor, tag, "contacted", "won", "lost", "spam")
        assert params(visitor)["assignee"] == ["@nobody"]
        await page.reload()
        await expect(assignee).to_have_value("Unassigned")
        await expect(page.get_by_role("link", name="Remove the filter Assignee: Unassigned")).to_be_visible()


async def test_filters_work_by_keyboard_and_without_a_script(dashboard: Dashboard) -> None:
    async with one_of_each_status(dashboard) as tag, dashboard.visit_without_script("phone") as visitor:
        page = visitor.page
        await visitor.open(f"/admin/ui/leads?service={tag}")
        statuses = page.get_by_role("group", name="Status")
        await page.get_by_text("More filters").press("Enter")
        for status in ("Won", "Lost"):
            await statuses.get_by_label(status).focus()
            await page.keyboard.press("Space")
        await page.keyboard.press("Enter")
        await page.wait_for_url(f"**/admin/ui/leads?status=won&status=lost&service={tag}")
        await expect_leads(visitor, tag, "won", "lost")
        await visitor.open(f"/admin/ui/leads?service={tag}&status=nonsense")
        await expect(page.get_by_role("heading", name="Invalid input")).to_be_visible()
        await expect(page.get_by_text("Status: this is not one of the available options.")).to_be_visible()
