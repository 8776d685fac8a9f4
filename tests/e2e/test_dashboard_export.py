"""The export dialog in a real browser: what the files contain, and in which zone their times are."""

import csv
import io
from datetime import datetime
from pathlib import Path
from uuid import uuid4

import openpyxl
import pytest
from openpyxl.worksheet.worksheet import Worksheet
from playwright.async_api import expect

from tests.e2e.conftest import Dashboard
from tests.e2e.test_dashboard_leads import search
from tests.support.web.browser import SIZES, TIMEOUT_MS, Size, Visitor

pytestmark = pytest.mark.asyncio(loop_scope="session")
CSV = "CSV file"


async def download(visitor: Visitor, button: str, path: Path) -> None:
    """Press a button of the open dialog, and save the file."""
    async with visitor.page.expect_download() as started:
        await visitor.page.get_by_role("button", name=button).click()
    await (await started.value).save_as(path)


async def download_csv(visitor: Visitor, path: Path) -> dict[str, dict[str, str]]:
    """Return the rows by name. The usual columns have the name."""
    await visitor.page.get_by_role("button", name="Export", exact=True).click()
    await download(visitor, CSV, path)
    return rows_of(path)


def rows_of(path: Path) -> dict[str, dict[str, str]]:
    return {row["name"]: row for row in csv.DictReader(io.StringIO(path.read_text(encoding="utf-8")))}


@pytest.mark.parametrize("size", SIZES)
async def test_regression_an_export_has_no_spam_and_keeps_phone_numbers(
    dashboard: Dashboard, size: Size, tmp_path: Path
) -> None:
    tag = uuid4().hex[:10]
    good, spam = f"Good {tag}", f"Spam {tag}"
    await dashboard.post_and_store(name=good, email=f"good.{tag}@example.com", phone="+44 20 7946 0958")
    lead_id = await dashboard.post_and_store(name=spam, email=f"spam.{tag}@example.com")
    async with dashboard.visit(size) as visitor:
        page = visitor.page
        await visitor.open("/admin/ui/leads")
        await search(visitor, tag)
        for name in (good, spam):
            await expect(page.get_by_role("link", name=name)).to_be_visible(timeout=TIMEOUT_MS)
        await dashboard.watched.installation.admin("PATCH", f"/admin/leads/{lead_id}/status?new_status=spam")
        rows = await download_csv(visitor, tmp_path / "leads.csv")
        assert list(rows) == [good]
        assert rows[good]["phone"] == "+44 20 7946 0958"
        assert rows[good]["created_at"].endswith("+05:30"), "the viewer's zone"
        await expect(page.get_by_role("status").get_by_text("is being downloaded")).to_be_visible()
        await page.get_by_role("button", name="Export", exact=True).click()
        box = page.get_by_role("checkbox", name="With spam and erased (1 more)")
        await box.check()
        await visitor.check_in_both_themes()
        await download(visitor, CSV, tmp_path / "all.csv")
        assert set(rows_of(tmp_path / "all.csv")) == {good, spam}


async def test_an_excel_file_is_chosen_and_downloaded_by_keyboard(
    dashboard: Dashboard, tmp_path: Path
) -> None:
    tag = uuid4().hex[:10]
    await dashboard.post(name=f"Ada {tag}", email=f"{tag}@example.com", phone="+44 20 7946 0958")
    async with dashboard.visit() as visitor:
        page = visitor.page
        await visitor.open("/admin/ui/leads")
        await search(visitor, tag)
        await expect(page.get_by_role("link", name=f"Ada {tag}")).to_be_visible(timeout=TIMEOUT_MS)
        await page.get_by_role("button", name="Export", exact=True).press("Space")
        await page.get_by_role("checkbox", name="Email").press("Space")
        await page.get_by_text("More columns").press("Enter")
        await page.get_by_role("checkbox", name="Locale").press("Space")
        async with page.expect_download() as started:
            await page.get_by_role("button", name="Excel file").press("Enter")
        await (await started.value).save_as(tmp_path / "leads.xlsx")
        await expect(page.get_by_role("dialog")).to_be_hidden()
        await expect(page.get_by_role("button", name="Export", exact=True)).to_be_focused()
    sheet = openpyxl.load_workbook(tmp_path / "leads.xlsx").active
    assert isinstance(sheet, Worksheet)
    headings, values = ([cell.value for cell in row] for row in sheet.iter_rows())
    row = dict(zip(headings, values, strict=True))
    (received,) = (name for name in row if str(name).startswith("Received"))
    assert (row["Name"], row["Phone"], row["Status"]) == (f"Ada {tag}", "+44 20 7946 0958", "New")
    assert received in ("Received (Asia/Kolkata)", "Received (Asia/Calcutta)"), "the viewer's zone"
    assert isinstance(row[received], datetime)
    assert "Locale" in row
    assert "Email" not in row


async def test_an_excel_file_is_downloaded_without_scripts(dashboard: Dashboard, tmp_path: Path) -> None:
    await dashboard.post()
    async with dashboard.visit_without_script("phone") as visitor:
        await visitor.open("/admin/ui/leads")
        await visitor.page.get_by_role("button", name="Export", exact=True).click()
        await expect(visitor.page.get_by_role("heading", name="Export leads", level=1)).to_be_visible()
        await download(visitor, "Excel file", tmp_path / "leads.xlsx")
        assert not visitor.problems  # axe needs scripts
    sheet = openpyxl.load_workbook(tmp_path / "leads.xlsx").active
    assert isinstance(sheet, Worksheet)
    assert sheet["A1"].value == "Received (UTC)"
