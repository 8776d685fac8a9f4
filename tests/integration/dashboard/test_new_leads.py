"""The poll of the list of leads: it counts new leads, moves nothing, and is empty if nothing changed."""

import html
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from runtime.settings import Postgres
from services.admin.dashboard.pages import leads
from tests.support.services.admin import Admin
from tests.support.services.dashboard import HTMX, running_dashboard, sign_in
from tests.support.stack import Stack

LEADS = "/admin/ui/leads"
START = datetime.now(UTC) - timedelta(hours=1)


@pytest.fixture
async def admin(postgres: Postgres, stack: Stack) -> AsyncIterator[Admin]:
    async with running_dashboard(postgres, stack) as running:
        yield running


async def add(admin: Admin, name: str, minute: int, status: str = "received") -> None:
    await admin.add_lead(
        status, name=name, email="x@example.com", occurred_at=START + timedelta(minutes=minute)
    )


async def poll(admin: Admin, csrf: str, etag: str = "", /, **fields: Any) -> httpx.Response:
    """Request the list as htmx does."""
    headers = HTMX | ({"If-None-Match": etag} if etag else {})
    return await admin.client.post(LEADS, data={"csrf": csrf} | fields, headers=headers)


def names(page: str) -> list[str]:
    return re.findall(r'class="lead" href="[^"]+"><bdi>([^<]+)', page)


def shown(page: str) -> str:
    """Return the time before which the leads of the page came."""
    found = re.search(r"hx-vals='\{\"shown\": \"([^\"]+)\"\}'", html.unescape(page))
    assert found, page
    return found.group(1)


def line(page: str) -> str:
    """Return the text of the line about new leads."""
    found = re.search(r'<div id="new-leads" aria-live="polite">(?:<p[^>]*><strong>([^<]*))?', page)
    assert found, page
    return found.group(1) or ""


@pytest.mark.parametrize("order", ["", "oldest", "name", "updated"])
async def test_new_leads_are_counted_and_move_nothing(admin: Admin, order: str) -> None:
    csrf = await sign_in(admin)
    for minute, name in enumerate(("Bea", "Dan")):
        await add(admin, name, minute)
    first = await poll(admin, csrf, sort=order)
    known = {"sort": order, "shown": shown(first.text)}
    again = await poll(admin, csrf, **known)
    assert (names(again.text), line(again.text)) == (names(first.text), "")
    unchanged = await poll(admin, csrf, again.headers["ETag"], **known)
    assert (unchanged.status_code, unchanged.content) == (204, b"")
    for name in ("Ann", "Cem", "Eve"):
        await add(admin, name, 120)
    later = await poll(admin, csrf, again.headers["ETag"], **known)
    assert (names(later.text), line(later.text)) == (names(first.text), "3 new leads")
    assert "2 leads" in later.text
    assert shown(later.text) == known["shown"]
    whole = await poll(admin, csrf, sort=order)
    assert (len(names(whole.text)), line(whole.text)) == (5, "")


async def test_only_new_leads_that_match_are_counted(admin: Admin) -> None:
    csrf = await sign_in(admin)
    await add(admin, "Ada Lovelace", 0)
    fields = {"q": "lovelace", "status": ["received", "won"]}
    known = fields | {"shown": shown((await poll(admin, csrf, **fields)).text)}
    await add(admin, "Byron Lovelace", 1, "won")
    await add(admin, "Anne Lovelace", 2, "spam")
    await add(admin, "Grace Hopper", 3)
    page = await poll(admin, csrf, **known)
    assert (names(page.text), line(page.text)) == (["Ada Lovelace"], "1 new lead")


async def test_an_empty_list_shows_new_leads_at_once(admin: Admin) -> None:
    csrf = await sign_in(admin)
    assert "hx-vals" not in (await poll(admin, csrf)).text
    await add(admin, "Ada", 0)
    page = await poll(admin, csrf)
    known = shown(page.text)
    assert names(page.text) == ["Ada"]
    # The lead that the page showed is of another status now.
    await admin.db.execute("UPDATE lead_inbox SET status = 'won'")
    await add(admin, "Bea", 1)
    page = await poll(admin, csrf, status="received", shown=known)
    assert (names(page.text), line(page.text)) == (["Bea"], "")


async def test_the_number_of_new_leads_is_bounded(admin: Admin, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leads, "NEW_LEADS_MAX", 2)
    csrf = await sign_in(admin)
    await add(admin, "Ada", 0)
    known = shown((await poll(admin, csrf)).text)
    for minute in range(1, 5):
        await add(admin, "New", minute)
    assert line((await poll(admin, csrf, shown=known)).text) == "Over 2 new leads"


@pytest.mark.parametrize("time", ["yesterday", "9999-12-31T23:59:59-10:00", "2026-01-01\x00"])
async def test_a_time_that_no_page_gave_is_refused(admin: Admin, time: str) -> None:
    csrf = await sign_in(admin)
    assert (await poll(admin, csrf, shown=time)).status_code == 422
