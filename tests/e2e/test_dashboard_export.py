"""The CSV export in a real browser: what it contains, and in which zone its times are."""

import csv
import io
from pathlib import Path
from uuid import uuid4

import pytest
from playwright.async_api import expect

from tests.e2e.conftest import Dashboard
from tests.e2e.test_dashboard_leads import search
from tests.support.web.browser import SIZES, TIMEOUT_MS, Size, Visitor

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def download(visitor: Visitor, path: Path) -> dict[str, dict[str, str]]:
    """Export the list, and return the rows by name."""
    async with visitor.page.expect_download() as started:
        await visitor.page.get_by_role("button", name="Export as CSV").click()
    await (await started.value).save_as(path)
    return rows_of(path)


def rows_of(path: Path) -> dict[str, dict[str, str]]:
    return {row["name"]: row for row in csv.DictReader(io.StringIO(path.read_text(encoding="utf-8-sig")))}


@pytest.mark.parametrize("size", SIZES)
async def test_regression_an_export_has_no_spam_and_keeps_phone_numbers(
    dashboard: Dashboard, size: Size, tmp_path: Path
) -> None:
    tag = uuid4().hex[:10]
    good, spam = f"Good {tag}", f"Spam {tag}"
    await dashboard.post(name=good, email=f"good.{tag}@example.com", phone="+44 20 7946 0958")
    lead_id = await dashboard.post(name=spam, email=f"spam.{tag}@example.com")
    async with dashboard.visit(size) as visitor:
        page = visitor.page
        await visitor.open("/admin/ui/leads")
        await search(visitor, tag)
        for name in (good, spam):
            await expect(page.get_by_role("link", name=name)).to_be_visible(timeout=TIMEOUT_MS)
        await dashboard.watched.installation.admin("PATCH", f"/admin/leads/{lead_id}/status?new_status=spam")
        rows = await download(visitor, tmp_path / "leads.csv")
        assert list(rows) == [good]
        assert rows[good]["phone"] == "+44 20 7946 0958"
        assert rows[good]["created_at"].endswith("+05:30"), "the viewer's zone"
        assert rows[good]["created_at_utc"].endswith("Z")
        box = page.get_by_role("checkbox", name="With spam and erased")
        await box.check()
        # A poll that replaces the list keeps the choice.
        async with page.expect_response(lambda each: each.url.endswith("/admin/ui/leads")):
            await page.evaluate("document.activeElement.blur(); htmx.trigger(document.body, 'pagevisible')")
        await visitor.wait_until_loaded()
        await expect(box).to_be_checked()
        assert set(await download(visitor, tmp_path / "all.csv")) == {good, spam}
        await visitor.check_in_both_themes()
