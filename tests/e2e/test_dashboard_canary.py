"""The canary's page in a browser: what works and what fails, on a desktop and on a phone, in both themes."""

from typing import get_args
from uuid import UUID

import pytest
from playwright.async_api import expect
from uuid_utils.compat import uuid7

from tests.e2e.conftest import Dashboard
from tests.support.web.browser import Size

pytestmark = pytest.mark.asyncio(loop_scope="session")
HOPS = ("gateway", "token", "form", "kafka", "persister", "postgresql", "notifier", "webhooks")
SMTP = "smtp 535 5.7.8 at login"


async def add_canary(dashboard: Dashboard) -> UUID:
    """Insert a canary that got through to the mail server, which refused the login."""
    fetch, canary_id = dashboard.watched.installation.fetch, uuid7()
    await fetch(
        "INSERT INTO scheduled_job (name, schedule, runs, last_started_at, next_run_at)"
        " VALUES ('canary', '*/3 * * * *', 1, now(), now() + interval '1 hour')"
        " ON CONFLICT (name) DO UPDATE SET next_run_at = excluded.next_run_at"
    )
    await fetch("INSERT INTO canary (id, site, route) VALUES ($1, 'studio', 'form')", canary_id)
    for hop in (*HOPS, "smtp"):
        await fetch(
            "INSERT INTO canary_result (canary_id, hop, ok, reason, seconds) VALUES ($1, $2, $3, $4, 0.2)",
            canary_id, hop, hop != "smtp", SMTP if hop == "smtp" else "",
        )  # fmt: skip
    return canary_id


@pytest.mark.parametrize("size", get_args(Size))
async def test_the_page_names_the_hop_that_fails(dashboard: Dashboard, size: Size) -> None:
    canary_id = await add_canary(dashboard)
    try:
        async with dashboard.visit(size) as visitor:
            await visitor.open("/admin/canary")
            await expect(visitor.page.get_by_role("heading", name="Studio Nord")).to_be_visible()
            row = visitor.page.get_by_role("row").filter(has_text="Mail server")
            await expect(row).to_contain_text(SMTP)
            await expect(row.locator(".badge.bad")).to_have_text("Failing")
            await expect(visitor.page.locator("tbody .badge.good")).to_have_count(len(HOPS))
            await visitor.check_in_both_themes()
    finally:
        await dashboard.watched.installation.fetch("DELETE FROM canary WHERE id = $1", canary_id)
        await dashboard.watched.installation.fetch("DELETE FROM scheduled_job WHERE name = 'canary'")
