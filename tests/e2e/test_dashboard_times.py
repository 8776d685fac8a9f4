"""Times and numbers in a real browser: relative times with the exact one, and the format of the locale."""

import re
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from playwright.async_api import expect

from tests.e2e.conftest import Dashboard

pytestmark = pytest.mark.asyncio(loop_scope="session")
INSERT = """
INSERT INTO lead_inbox (id, request_id, site, email, service, name, message, body_sha256, created_at_utc)
VALUES (gen_random_uuid(), 'r', 'site', '', $1, $2, '', repeat('0', 64), $3)
"""
AGES = {
    "now": timedelta(seconds=5),
    "5 min ago": timedelta(minutes=5),
    "3 hr? ago": timedelta(hours=3),
    "2 days ago": timedelta(days=2),
    "[0-9]+ [A-Z][a-z]+, [0-9]{2}:[0-9]{2}": timedelta(days=20),
}


async def test_a_list_shows_how_long_ago_leads_came_and_when_exactly(dashboard: Dashboard) -> None:
    tag, installation = f"ago{uuid4().hex[:8]}", dashboard.watched.installation
    try:
        async with dashboard.visit() as visitor:
            now = datetime.now(UTC).replace(microsecond=0)
            for number, age in enumerate(AGES.values()):
                await installation.fetch(INSERT, tag, f"{tag} {number}", now - age)
            await visitor.open(f"/admin/ui/leads?service={tag}")
            times = visitor.page.locator("#list td.time time")
            await expect(times).to_have_count(len(AGES))
            for number, text in enumerate(AGES):
                await expect(times.nth(number)).to_have_text(re.compile(f"^{text}"))
                await expect(times.nth(number)).to_have_attribute("title", re.compile(r"^\w+,? .* 20\d\d"))
            await expect(times.nth(1).locator(".visually-hidden")).to_have_text(
                re.compile(r" \(\d+ \w+, \d\d:\d\d\)")
            )
            await visitor.check_in_both_themes()
    finally:
        await installation.fetch("DELETE FROM lead_inbox WHERE service = $1", tag)


async def test_the_audit_log_has_exact_times(dashboard: Dashboard) -> None:
    await dashboard.post()
    async with dashboard.visit() as visitor:
        await visitor.open("/admin/ui/audit")
        await expect(visitor.page.locator("td.time time").first).to_have_text(
            re.compile(r"^\d+ \w+, \d\d:\d\d$")
        )
        await expect(visitor.page.locator("time[data-relative]")).to_have_count(0)


async def test_without_scripts_times_are_exact_in_utc(dashboard: Dashboard) -> None:
    await dashboard.post()
    async with dashboard.visit_without_script() as visitor:
        await visitor.open("/admin/ui/leads")
        await expect(visitor.page.locator("#list td.time time").first).to_have_text(
            re.compile(r"^[-\d]+ [:\d]+ UTC$")
        )


async def test_numbers_have_the_separator_of_the_locale(dashboard: Dashboard) -> None:
    tag, installation = f"num{uuid4().hex[:8]}", dashboard.watched.installation
    many = INSERT.replace("VALUES (", "SELECT ").replace("$3)", "now() FROM generate_series(1, 1234)")
    try:
        await installation.fetch(many, tag, "1\u2009000 windows")
        async with dashboard.visit() as visitor:
            await visitor.open(f"/admin/ui/leads?service={tag}")
            await expect(visitor.page.get_by_role("status").first).to_have_text("1,234 leads found")
            name = visitor.page.locator("a.lead").first
            assert await name.inner_text() == "1\u2009000 windows", "what a person wrote stays"
        async with dashboard.visit_without_script() as visitor:
            await visitor.open(f"/admin/ui/leads?service={tag}")
            await expect(visitor.page.get_by_role("status").first).to_have_text("1,234 leads found")
    finally:
        await installation.fetch("DELETE FROM lead_inbox WHERE service = $1", tag)
