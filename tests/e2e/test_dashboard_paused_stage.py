"""A paused stage and an incident in a real browser: what is shown, and the buttons."""

import asyncpg
import pytest
from playwright.async_api import expect

from tests.e2e.conftest import Dashboard
from tests.support.web.browser import SIZES, TIMEOUT_MS, Size

pytestmark = pytest.mark.asyncio(loop_scope="session")
REASON = "100 of the last 200 records were dead"


async def pause(dashboard: Dashboard, stage: str) -> None:
    connection = await asyncpg.connect(dashboard.watched.installation.database.owner)
    try:
        await connection.execute(
            "INSERT INTO stage_control VALUES ($1, true, $2, now(), $1)"
            " ON CONFLICT (stage) DO UPDATE SET paused = true, reason = $2",
            stage,
            REASON,
        )
    finally:
        await connection.close()


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("path", ["/admin/status", "/admin/ui/workbench"])
async def test_regression_a_paused_stage_is_shown_and_resumed(
    dashboard: Dashboard, size: Size, path: str
) -> None:
    await pause(dashboard, "persister")
    async with dashboard.visit(size) as visitor:
        page = visitor.page
        await visitor.open(path)
        notice = page.get_by_role("region", name="Paused")
        await expect(notice).to_contain_text(f"Storage is paused: {REASON}", timeout=2 * TIMEOUT_MS)
        if path == "/admin/status":
            await expect(page.get_by_role("heading", name="Service disruption")).to_be_visible()
            await expect(page.get_by_text("All systems operational")).to_have_count(0)
            reason = page.get_by_role("link", name=f"Storage: paused: {REASON}")
            await expect(reason).to_have_attribute("href", "#paused-persister")
            component = page.locator(".components li").filter(has_text="Storage")
            await expect(component).to_contain_text("Paused")
            below = page.locator("#h-health")
        else:
            below = page.get_by_role("heading", level=1)
        boxes = [await each.bounding_box() for each in (notice, below)]
        tops = [box["y"] for box in boxes if box]
        assert tops == sorted(tops), "the pause stands on top"
        await visitor.check()
        await notice.get_by_role("button", name="Resume").click()
        await visitor.expect_toast("Storage resumed.")
        await expect(notice).to_have_count(0, timeout=TIMEOUT_MS)
        await visitor.check()


async def test_an_incident_is_acknowledged_and_resolved(dashboard: Dashboard) -> None:
    connection = await asyncpg.connect(dashboard.watched.installation.database.owner)
    try:
        await connection.execute(
            "INSERT INTO incident (key, component, reason, severity, affected_leads, first_seen_at)"
            " VALUES ('e2e', 'Email', 'no answer from the mail server', 'bad', 7, now() - interval '1 hour')"
        )
    finally:
        await connection.close()
    async with dashboard.visit("phone") as visitor:
        page = visitor.page
        await visitor.open("/admin/status")
        card = page.get_by_role("region", name="Incidents")
        item = card.get_by_role("listitem").filter(has_text="no answer from the mail server")
        await expect(item).to_contain_text("Up to 7 leads affected", timeout=TIMEOUT_MS)
        await visitor.check()
        await item.get_by_role("button", name="Acknowledge").click()
        await visitor.expect_toast("You take care of the incident: Email.")
        await expect(item).to_contain_text("took it over")
        await item.get_by_role("button", name="Resolve").click()
        await visitor.expect_toast("Incident resolved: Email.")
        await expect(item).to_have_count(0)  # the list was read anew: a click before would be lost with it
        await card.get_by_text("Resolved", exact=True).click()
        await expect(item).to_contain_text("Resolved by admin")
        await visitor.check()
