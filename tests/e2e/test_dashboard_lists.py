"""Lists in a real browser: pages, filters in the address bar, and search words, which are in no URL."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import pytest
from playwright.async_api import Locator, Page, expect

from tests.e2e.conftest import Dashboard
from tests.support.services.installation import ADMIN_TOKEN
from tests.support.web.browser import TIMEOUT_MS, Size, Visitor

pytestmark = pytest.mark.asyncio(loop_scope="session")
# Three pages of 25, 25 and 15 leads.
INSERT = """
INSERT INTO lead_inbox (id, request_id, site, email, service, status, name, message, body_sha256,
                        created_at_utc)
SELECT gen_random_uuid(), 'r', 'site', $1 || n || '@example.com', $1,
       CASE WHEN n % 2 = 0 THEN 'won' ELSE 'received' END, $1 || ' ' || n, '', repeat('0', 64),
       '2020-05-05T20:00Z'::timestamptz - n * interval '1 minute'
FROM generate_series(1, 65) AS n
"""


@asynccontextmanager
async def many_leads(dashboard: Dashboard) -> AsyncIterator[str]:
    """Store 65 leads of a service, which is also a word of their names, and yield it."""
    tag, installation = f"lot{uuid4().hex[:8]}", dashboard.watched.installation
    await installation.fetch(INSERT, tag)
    try:
        yield tag
    finally:
        await installation.fetch("DELETE FROM lead_inbox WHERE service = $1", tag)


def row(page: Page, tag: str, number: int) -> Locator:
    return page.get_by_role("link", name=f"{tag} {number}", exact=True)


async def expect_page(visitor: Visitor, tag: str, first: int) -> None:
    """Wait for the page that begins with this lead, and check that its top is in view."""
    await expect(visitor.page.locator("a.lead").first).to_have_text(f"{tag} {first}", timeout=TIMEOUT_MS)
    await expect(row(visitor.page, tag, first)).to_be_in_viewport()


def params(visitor: Visitor) -> dict[str, list[str]]:
    return parse_qs(urlsplit(visitor.page.url).query)


async def go(visitor: Visitor, name: str) -> None:
    """Open another page with the link or the button of this name."""
    pages = visitor.page.get_by_role("navigation", name="Pages")
    await pages.get_by_text(name, exact=True).click()


async def search_all(visitor: Visitor, tag: str) -> None:
    """Search the list for all leads with this tag, and wait for the first page."""
    await visitor.open("/admin/ui/leads")
    await visitor.page.get_by_label("Search").press_sequentially(tag)
    await expect(visitor.page.get_by_role("status").first).to_contain_text("65 leads found")
    await expect_page(visitor, tag, 1)


@pytest.mark.parametrize("size", ["desktop", "phone"])
async def test_regression_pages_lead_both_ways_and_survive_back_and_reload(
    dashboard: Dashboard, size: Size
) -> None:
    async with many_leads(dashboard) as tag, dashboard.visit(size) as visitor:
        page = visitor.page
        await visitor.open(f"/admin/ui/leads?service={tag}")
        await expect_page(visitor, tag, 1)
        await go(visitor, "Older")
        await expect_page(visitor, tag, 26)
        await visitor.check()
        await go(visitor, "Older")
        await expect_page(visitor, tag, 51)
        await page.reload()
        await expect_page(visitor, tag, 51)
        await page.go_back()
        await expect(row(page, tag, 26)).to_be_visible()
        await go(visitor, "Older")
        await go(visitor, "Newer")
        await expect_page(visitor, tag, 26)
        await go(visitor, "Newer")
        await expect_page(visitor, tag, 1)
        await expect(page.get_by_label("Service", exact=True)).to_have_value(tag)


async def test_regression_pages_of_a_search_survive_back_and_reload(dashboard: Dashboard) -> None:
    async with many_leads(dashboard) as tag, dashboard.visit() as visitor:
        page = visitor.page
        await search_all(visitor, tag)
        await go(visitor, "Older")
        await expect_page(visitor, tag, 26)
        await expect(page.locator("#list")).to_be_focused()
        await go(visitor, "Older")
        await expect_page(visitor, tag, 51)
        await page.reload()
        await expect_page(visitor, tag, 51)
        await expect(page.get_by_label("Search")).to_have_value(tag)
        await page.go_back()
        await expect_page(visitor, tag, 26)
        # The way back from a lead leads to the same page.
        await row(page, tag, 26).click()
        await page.get_by_role("navigation", name="Breadcrumb").get_by_role("link").click()
        await expect_page(visitor, tag, 26)
        # Other words begin at the first page.
        await page.get_by_label("Search").fill(f"{tag} 4")
        await expect_page(visitor, tag, 4)
        assert "cursor" not in params(visitor)
        assert not [url for url in visitor.urls if tag in url]
        assert visitor.problems == []


async def test_regression_filters_are_in_the_address_bar(dashboard: Dashboard) -> None:
    async with many_leads(dashboard) as tag, dashboard.visit() as visitor:
        page = visitor.page
        await visitor.open("/admin/ui/leads")
        # Any part of the service, in any case.
        await page.get_by_label("Service", exact=True).fill(tag[1:].upper())
        # In the viewer's zone, Asia/Kolkata, all these leads are of the sixth.
        await page.get_by_text("More filters").click()
        await page.get_by_label("From", exact=True).fill("2020-05-06")
        statuses = page.get_by_role("group", name="Status")
        await statuses.get_by_label("Won").check()
        await expect_page(visitor, tag, 2)
        expected = {
            "service": [tag[1:].upper()],
            "since": ["2020-05-06"],
            "status": ["won"],
            "zone": [await page.evaluate("Intl.DateTimeFormat().resolvedOptions().timeZone")],
        }
        assert params(visitor) == expected
        await page.reload()
        await expect(page.get_by_role("status").first).to_contain_text("32 leads found")
        await expect(page.get_by_label("From", exact=True)).to_have_value("2020-05-06")
        await statuses.get_by_label("Won").uncheck()
        await expect_page(visitor, tag, 1)
        await statuses.get_by_label("Lost").check()
        await expect(page.get_by_text("No leads match")).to_be_visible()
        await page.go_back()
        await expect_page(visitor, tag, 1)
        await page.go_back()
        await expect_page(visitor, tag, 2)
        await expect(statuses.get_by_label("Won")).to_be_checked()


async def test_regression_a_search_does_not_return_under_other_filters(dashboard: Dashboard) -> None:
    async with many_leads(dashboard) as tag, dashboard.visit() as visitor:
        page = visitor.page
        await search_all(visitor, tag)
        await visitor.open("/admin/ui/leads?status=lost")
        await expect(page.get_by_label("Search")).to_have_value("")
        await expect(row(page, tag, 1)).to_have_count(0)
        await page.get_by_role("link", name="Leads", exact=True).click()
        await page.wait_for_url("**/admin/ui/leads")
        await expect(page.get_by_label("Search")).to_have_value("")


async def test_regression_a_failed_search_leaves_no_stale_result(dashboard: Dashboard) -> None:
    async with many_leads(dashboard) as tag, dashboard.visit() as visitor:
        page = visitor.page
        await search_all(visitor, tag)
        await page.get_by_label("Search").fill("(")
        await expect(row(page, tag, 1)).to_have_count(0)
        await expect(page.locator("#toasts")).to_be_empty()
        # A search that the server cannot answer is no result either.
        await page.get_by_label("Search").fill(tag)
        await expect_page(visitor, tag, 1)
        await page.get_by_label("Search").evaluate(
            "field => { field.maxLength = 999; field.value = 'x'.repeat(999) }"
        )
        await page.get_by_role("button", name="Search").click()
        await expect(page.get_by_role("alert").filter(has_text="Search:")).to_be_visible()
        await expect(row(page, tag, 1)).to_have_count(0)


async def test_regression_a_login_opens_the_requested_page_with_its_filters(dashboard: Dashboard) -> None:
    async with many_leads(dashboard) as tag, dashboard.visit_signed_out() as visitor:
        await visitor.open(f"/admin/ui/leads?service={tag}&status=won")
        await visitor.page.get_by_label("Admin token").fill(ADMIN_TOKEN)
        await visitor.page.get_by_role("button", name="Sign in").click()
        await expect_page(visitor, tag, 2)
        assert params(visitor) == {"service": [tag], "status": ["won"]}


async def test_pages_of_the_audit_log_lead_both_ways(dashboard: Dashboard) -> None:
    async with dashboard.visit() as visitor:
        page, tag = visitor.page, uuid4().hex[:8]
        await dashboard.watched.installation.fetch(
            "INSERT INTO audit_log (event_id, event, actor, request_id)"
            " SELECT gen_random_uuid(), 'lead.received', $1, 'r' || n FROM generate_series(1, 50) AS n",
            tag,
        )
        await visitor.open("/admin/ui/audit")
        await page.get_by_label("Actor").fill(tag)
        await page.get_by_role("button", name="Search").click()
        await page.wait_for_url(re.compile(rf"actor={tag}"))
        entries = page.locator("#list tbody tr")
        await expect(entries).to_have_count(40)
        await go(visitor, "Older")
        await expect(entries).to_have_count(10)
        await page.reload()
        await expect(entries).to_have_count(10)
        await visitor.check()
        await go(visitor, "Newer")
        await expect(entries).to_have_count(40)


async def test_filters_and_pages_work_without_javascript(dashboard: Dashboard) -> None:
    async with many_leads(dashboard) as tag, dashboard.visit_without_script() as visitor:
        page = visitor.page
        await page.goto(f"{visitor.url}/admin/ui/leads")
        await page.get_by_label("Service", exact=True).fill(tag)
        await page.get_by_role("button", name="Search").click()
        await page.wait_for_url(f"**/admin/ui/leads?service={tag}")
        await go(visitor, "Older")
        await expect_page(visitor, tag, 26)
        await page.get_by_label("Search").fill(tag)
        await page.get_by_role("button", name="Search").click()
        await expect_page(visitor, tag, 1)
        await go(visitor, "Older")
        await expect_page(visitor, tag, 26)
        assert not [url for url in visitor.urls if f"q={tag}" in url]


async def test_headings_sort_both_ways_and_keep_the_search_words(dashboard: Dashboard) -> None:
    async with many_leads(dashboard) as tag, dashboard.visit() as visitor:
        page = visitor.page
        first, name = page.locator("a.lead").first, page.get_by_role("link", name="Lead", exact=True)
        await search_all(visitor, tag)
        await page.wait_for_url(re.compile("search="))
        await name.click()
        await expect(page.get_by_role("columnheader", name="Lead", exact=True)).to_have_attribute(
            "aria-sort", "ascending"
        )
        await expect(page.get_by_role("status").first).to_contain_text("65 leads found")
        await expect(first).to_have_text(f"{tag} 1")
        await go(visitor, "Older")
        await expect(first).not_to_have_text(f"{tag} 1")
        assert "cursor" in params(visitor)
        await name.click()
        await expect(page.get_by_role("columnheader", name="Lead", exact=True)).to_have_attribute(
            "aria-sort", "descending"
        )
        await expect(first).to_have_text(f"{tag} 9")
        assert "cursor" not in params(visitor)
        assert not [url for url in visitor.urls if tag in url]
        await visitor.check()
