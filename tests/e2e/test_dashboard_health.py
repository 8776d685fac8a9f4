"""The dashboard in a real browser while a stage is paused: the pause is shown, and ended there."""

import asyncpg
import pytest
from playwright.async_api import expect

from tests.e2e.conftest import Dashboard
from tests.support.browser import PATIENCE_MS, SIZES, Size

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
@pytest.mark.parametrize("path", ["/admin", "/admin/ui/workbench"])
async def test_regression_a_paused_stage_is_no_green_headline_and_is_resumed_where_it_is_shown(
    dashboard: Dashboard, size: Size, path: str
) -> None:
    await pause(dashboard, "persister")
    async with dashboard.visit(size) as visitor:
        page = visitor.page
        await visitor.open(path)
        notice = page.get_by_role("region", name="Paused")
        await expect(notice).to_contain_text(f"Storage is paused: {REASON}", timeout=2 * PATIENCE_MS)
        if path == "/admin":
            await expect(page.get_by_role("heading", name="Service disruption")).to_be_visible()
            await expect(page.get_by_text("All systems operational")).to_have_count(0)
        await visitor.look()
        await notice.get_by_role("button", name="Resume").click()
        await visitor.said("Storage resumed.")
        await expect(notice).to_have_count(0, timeout=PATIENCE_MS)
        await visitor.look()
