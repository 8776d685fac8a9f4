"""The overview shows failures of the last hour and paused stages."""

import html
import json
import re
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qsl

import httpx
import pytest

from contracts.visit import Source
from runtime.database.postgres import open_pool
from runtime.settings import Postgres
from runtime.sites.file import parse_sites
from runtime.sites.model import Site, Sites
from services.admin.monitoring.spam_shares import read_risen_spam
from services.admin.rules.spam_shares import SpamShare
from services.admin.store.deliveries.recent_outcomes import RecentOutcomes, count_recent_outcomes
from tests.support.services.admin import TOKEN, Admin
from tests.support.services.deliveries import add_delivery


@pytest.fixture
async def admin(admin: Admin) -> Admin:
    """Log in to the dashboard."""
    del admin.client.headers["Authorization"]
    admin.client.base_url = httpx.URL("https://admin")
    answer = await admin.client.post("/admin/login", data={"token": TOKEN})
    assert answer.status_code == 303, answer.text
    return admin


async def text_of(admin: Admin, path: str) -> str:
    answer = await admin.client.get(path)
    assert answer.status_code == 200, answer.text
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", "", answer.text))


async def test_recent_failures_leave_out_confirmations_and_conflicts(
    admin: Admin, postgres: Postgres
) -> None:
    await admin.add_queue_row(state="dead", stage="persister", kind="store", reason="bug: KeyError")
    await admin.add_queue_row(state="dead", stage="persister", kind="store", reason="conflict")
    await admin.add_queue_row(state="dead")
    await admin.add_queue_row(
        state="dead", stage="site", kind="pull", last_failed_at=datetime.now(UTC) - timedelta(hours=2)
    )
    async with open_pool(postgres, "test") as pool:
        assert await count_recent_outcomes(pool) == RecentOutcomes({"persister": 1})


async def test_regression_a_paused_stage_is_shown_and_can_be_resumed(
    admin: Admin,
) -> None:
    await admin.db.execute(
        "INSERT INTO stage_control VALUES ('notifier', true, '100 of the last 200 records were dead', now(),"
        " 'notifier')"
    )
    for path in ("/admin/ui/status/health", "/admin/ui/workbench"):
        assert "Email is paused: 100 of the last 200 records were dead" in await text_of(admin, path), path
    overview = (await admin.client.get("/admin/ui/overview/parts")).text
    assert 'href="/admin/status#paused-notifier"' in overview
    page = (await admin.client.get("/admin/ui/workbench")).text
    count = re.search(r"<title>\((\d+)\) Failed deliveries", page)
    assert count
    assert f'data-disruptions="{count[1]}"' in (await admin.client.get("/admin/ui/status/count")).text
    word = re.search(r'name="csrf" value="(\w+)"', page)
    assert word
    form = {"csrf": word.group(1), "stage": "notifier"}
    headers = {"HX-Request": "true"}
    answer = await admin.client.post("/admin/ui/stages/resume", data=form, headers=headers)
    assert "Email resumed." in answer.text
    assert answer.headers["HX-Trigger"] == "refresh"
    for path in ("/admin/ui/status/health", "/admin/ui/workbench"):
        assert "is paused" not in await text_of(admin, path), path


async def test_pages_show_a_site_by_its_name_in_the_sites_file(admin: Admin) -> None:
    queues = {"shop": {"depth": 1}, "blog": {"depth": 1}}
    await admin.db.execute(
        "INSERT INTO scheduled_job (name, schedule, last_finished_at, last_details)"
        " VALUES ('site_queue', '*/5 * * * *', now(), $1::jsonb)",
        json.dumps({"sites": queues}),
    )
    admin.app.state.sites = Sites({"shop": Site(name="The Shop")})
    shown = await text_of(admin, "/admin/ui/status/queue")
    assert "The Shop" in shown
    assert "blog" in shown, "without a name, the key"
    assert "shop" not in shown


async def test_regression_the_status_counts_failed_deliveries_to_destinations(admin: Admin) -> None:
    admin.app.state.sites = parse_sites(
        b"[sites.x]\n[[destinations]]\nname = 'crm'\nkind = 'slack'\nurl = 'https://x.example/'"
    )
    assert "Destinations000" in await text_of(admin, "/admin/ui/status/queue")
    for state in ("failed", "failed", "dead", "delivered"):
        await add_delivery(admin.db, "crm", state)
    admin.app.state.cache.invalidate("destinations")
    for path in ("/admin/ui/status/queue", "/admin/status?full=true"):
        shown = await text_of(admin, path)
        assert "Destinations201" in shown, path
        assert "Nothing is waiting" not in shown, path


async def test_a_site_whose_leads_became_spam_is_found(admin: Admin, postgres: Postgres) -> None:
    now = datetime.now(UTC)
    for site, status, count, days in (
        ("studio", "spam", 11, 0), ("studio", "received", 1, 0), ("studio", "received", 12, 3),
        ("shop", "received", 12, 0), ("shop", "spam", 12, 3), ("old", "spam", 12, 9),
    ):  # fmt: skip
        for _ in range(count):
            reasons = ("honeypot",) if status == "spam" else ()
            await admin.add_lead(
                status, site=site, spam_reasons=reasons, occurred_at=now - timedelta(days=days, hours=1)
            )
    async with open_pool(postgres, "test") as pool:
        assert await read_risen_spam(pool) == [SpamShare("studio", 12, 11, 12, 0, "honeypot")]


async def test_the_overview_links_its_numbers_and_lists_to_the_list(admin: Admin) -> None:
    source = Source(
        utm_source="mail", utm_campaign="May", first_utm_source="fair", landing_page="https://x.example/a?b"
    )
    lead = await admin.add_lead(service="Web & more", source=source, occurred_at=datetime.now(UTC))
    await admin.db.execute("UPDATE lead_inbox SET status = 'contacted' WHERE id = $1", lead.lead_id)
    shown = (await admin.client.get("/admin/ui/overview/leads?zone=Europe/Berlin")).text
    links = [html.unescape(each) for each in re.findall(r'href="(/admin/ui/leads\?[^"]+)"', shown)]
    queries = [dict(parse_qsl(link.partition("?")[2])) for link in links]
    assert any(query.get("service") == "Web & more" and "since" in query for query in queries), links
    assert {"status": "received", "zone": "Europe/Berlin"} in queries
    assert {"assignee": "@nobody", "zone": "Europe/Berlin"} in queries
    tops = {
        "source": "mail",
        "first_source": "fair",
        "campaign": "May",
        "landing_page": "https://x.example/a",
    }
    for name, value in tops.items():
        assert value in [query.get(name) for query in queries], links
    for link in links:
        page = await admin.client.get(link)
        assert page.status_code == 200, link
        if not any(status in link for status in ("spam", "won", "received")):
            assert "1 lead" in page.text, link
