"""Every page in a real browser: both sizes, both themes, and a lead with hostile content."""

import csv
import io
import json
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from playwright.async_api import expect

from tests.e2e.conftest import Dashboard
from tests.support.wait import eventually
from tests.support.web.browser import SIZES, TIMEOUT_MS, Size, Visitor

pytestmark = pytest.mark.asyncio(loop_scope="session")
PAGES = (
    "/admin",
    "/admin/status",
    "/admin/ui/leads",
    "/admin/ui/leads/{lead}",
    "/admin/ui/leads/{lead}/edit",
    "/admin/ui/workbench",
    "/admin/ui/workbench/items",
    "/admin/ui/workbench/replay?state=dead",
    "/admin/ui/workbench/archive?state=dead",
    "/admin/ui/workbench/replays/{replay}",
    "/admin/ui/destinations",
    "/admin/ui/emails",
    "/admin/ui/jobs",
    "/admin/canary",
    "/admin/ui/audit",
)


async def start_replay(dashboard: Dashboard) -> str:
    """Let a confirmation email fail and replay it; return the replay's id."""
    smtp, installation = dashboard.watched.smtp, dashboard.watched.installation
    email = f"{uuid4().hex[:10]}@example.com"
    smtp.always[f"rcpt:{email}"] = "550 5.1.1 no such user"
    lead_id = await dashboard.post(email=email)

    async def rows() -> list[Any]:
        return await installation.fetch("SELECT id FROM replay_queue WHERE lead_id = $1", lead_id)

    await eventually(rows, what="the refused mail in the queue")
    order = {"state": "dead", "kind": "welcome", "reason": "smtp 550 5.1.1 at rcpt"}
    answer = await installation.admin("POST", "/admin/queue/replay", json=order)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["replay"]["id"])


@pytest.mark.parametrize("size", SIZES)
async def test_every_page_is_accessible_in_both_sizes_and_themes(dashboard: Dashboard, size: Size) -> None:
    lead_id, replay_id = await dashboard.post(message="Hello\n" * 20), await start_replay(dashboard)
    async with dashboard.visit_signed_out(size) as visitor:
        await visitor.open("/admin/login")
        await visitor.check_in_both_themes()
    async with dashboard.visit(size) as visitor:
        for path in PAGES:
            await visitor.open(path.format(lead=lead_id, replay=replay_id))
            await visitor.check_in_both_themes()
            assert visitor.path != "/admin/login"


async def test_website_queues_are_on_the_system_status(dashboard: Dashboard) -> None:
    sites = {
        "shop": {"depth": 3, "oldest_queued_at": "2026-11-23T04:30:00+00:00", "pulled": 2, "damaged": 1},
        "blog": {"depth": None, "reason": "the website did not answer"},
    }
    installation = dashboard.watched.installation
    await installation.fetch(
        "INSERT INTO scheduled_job (name, schedule, last_finished_at, last_details)"
        " VALUES ('site_queue', '*/5 * * * *', now(), $1::jsonb)",
        json.dumps({"sites": sites}),
    )
    try:
        async with dashboard.visit("phone") as visitor:
            await visitor.open("/admin/status")
            card = visitor.page.get_by_role("region", name="Website queues")
            await expect(card).to_contain_text("3 leads")
            await expect(card).to_contain_text("23 Nov, 10:00")
            await expect(card).to_contain_text("2 leads imported")
            await expect(card).to_contain_text("1 damaged")
            await expect(card).to_contain_text("the website did not answer")
            await visitor.check()
    finally:
        await installation.fetch("DELETE FROM scheduled_job WHERE name = 'site_queue'")


HOSTILE = "<script>document.documentElement.dataset.hacked=1</script>"
IMAGE = "<img src=x onerror=document.documentElement.dataset.hacked=1>"
# No links: with many of them the lead would be spam and get no emails.
FORMULA = "=2+5+cmd|' /C calc'!A0"
RIGHT_TO_LEFT = "\u202egnp.exe\u2067 \u05d0\u05d1\u05d2"


@pytest.mark.parametrize("size", SIZES)
async def test_a_hostile_lead_stays_text_on_pages_in_csv_and_emails(
    dashboard: Dashboard, size: Size, tmp_path: Path
) -> None:
    tag = uuid4().hex[:10]
    name, message = (
        f"{HOSTILE} {tag}",
        (f"{IMAGE} {RIGHT_TO_LEFT} {FORMULA} " * 200)[:10_000].strip().ljust(10_000, "x"),
    )
    fields = {
        "company": FORMULA,
        "service": f"{IMAGE} {tag}",
        "phone": "+1 (555) 0100",
        "budget": FORMULA,
        HOSTILE: IMAGE,
    }
    lead_id = await dashboard.post(name=name, email=f"{tag}@example.com", message=message, **fields)
    async with dashboard.visit(size) as visitor:
        page = visitor.page
        await visitor.open("/admin/ui/leads")
        await page.get_by_label("Search").fill(tag)
        await expect(page.get_by_role("link", name=name)).to_be_visible(timeout=TIMEOUT_MS)
        await expect(page.get_by_role("row", name=name)).to_contain_text(FORMULA)
        await check_text_only(visitor)
        async with page.expect_download() as download:
            await page.get_by_role("button", name="Export").click()
            await page.get_by_role("button", name="CSV file").click()
        await (await download.value).save_as(tmp_path / "leads.csv")
        await page.get_by_role("link", name=name).click()
        await expect(page.get_by_role("heading", name=name)).to_be_visible()
        shown = await page.locator(".message").inner_text()
        assert shown == message
        await expect(page.get_by_role("region", name="Details")).to_contain_text(HOSTILE)
        await check_text_only(visitor)
        await visitor.open(f"/admin/ui/leads/{lead_id}/edit")
        assert await page.get_by_label("Message").input_value() == message
        await check_text_only(visitor)
        for path in ("/admin", f"/admin/ui/audit?lead_id={lead_id}"):
            await visitor.open(path)
            await check_text_only(visitor)

    (row,) = csv.DictReader(io.StringIO((tmp_path / "leads.csv").read_text(encoding="utf-8")))
    assert row["company"] == f"'{FORMULA}"
    assert (row["name"], row["message"], row["phone"]) == (name, message, "+1 (555) 0100")
    assert row["created_at"].endswith("+05:30"), "the viewer's zone"

    smtp = dashboard.watched.smtp
    for kind in ("welcome", "admin_alert"):
        (mail,) = await eventually(lambda: _emails(dashboard, lead_id, kind), what=kind)  # noqa: B023
        assert "<script" not in mail.text("html")
        assert "<img" not in mail.text("html").replace("&lt;img", "")
        assert mail.message["Bcc"] is None
    (alert,) = smtp.of(lead_id, "admin_alert")
    assert HOSTILE in alert.text("plain")
    assert "&lt;script&gt;" in alert.text("html")


async def _emails(dashboard: Dashboard, lead_id: str, kind: str) -> list[Any]:
    return dashboard.watched.smtp.of(lead_id, kind)


async def check_text_only(visitor: Visitor) -> None:
    """Check the page: no content of the lead was executed or became an element."""
    await visitor.check()
    assert await visitor.page.evaluate("document.documentElement.dataset.hacked") is None
    assert await visitor.page.locator("img, script:not([src])").count() == 0
