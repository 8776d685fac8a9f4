"""The pages of saved views without a browser: forms, hostile names, and views that are gone."""

import html
import re
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import httpx
import pytest

from runtime.settings import Postgres
from tests.support.services.admin import TOKEN, Admin
from tests.support.services.dashboard import HTMX, running_dashboard, sign_in
from tests.support.stack import Stack

VIEWS = "/admin/ui/views"
HOSTILE = "\"><script>alert(1)</script>{{7*7}}\u202e' &amp;"


@pytest.fixture
async def admin(postgres: Postgres, stack: Stack) -> AsyncIterator[Admin]:
    async with running_dashboard(postgres, stack) as running:
        yield running


async def save(admin: Admin, csrf: str, name: str, **fields: Any) -> httpx.Response:
    form = {"csrf": csrf, "name": name, "status": ["received", "won"], "zone": "UTC"} | fields
    return await admin.client.post(VIEWS, data=form)


async def test_a_view_opens_its_filters_and_keeps_no_words(admin: Admin) -> None:
    csrf = await sign_in(admin)
    fields = {"received": "yesterday", "sort": "name", "q": "ada@example.com", "zone": "Asia/Kolkata"}
    dialog = await admin.client.post(f"{VIEWS}/new", data={"csrf": csrf, **fields}, headers=HTMX)
    assert "<dialog" in dialog.text
    assert "ada@example.com" not in dialog.text
    page = await admin.client.post(f"{VIEWS}/new", data={"csrf": csrf, **fields})
    assert "<h1>Save view</h1>" in page.text
    saved = await save(admin, csrf, "Yesterday", **fields)
    assert saved.status_code == 303
    url = urlsplit(saved.headers["location"])
    assert parse_qs(url.query) == {
        "status": ["received", "won"],
        "received": ["yesterday"],
        "sort": ["name"],
        "zone": ["Asia/Kolkata"],
    }
    row = await admin.db.fetchrow("SELECT author, shared, conditions::text AS conditions FROM lead_view")
    assert row is not None
    assert (row["author"], row["shared"]) == ("ann", False)
    assert "example" not in row["conditions"]
    shown = (await admin.client.get(saved.headers["location"])).text
    current = re.search(r'<a href="([^"]+)" aria-current="page"[^>]*><bdi>Yesterday', shown)
    assert current, "the view is the current one"
    assert html.unescape(current.group(1)) == saved.headers["location"]


async def test_a_hostile_name_is_a_text_everywhere(admin: Admin) -> None:
    csrf = await sign_in(admin)
    assert (await save(admin, csrf, HOSTILE, shared="true")).status_code == 303
    for path in ("/admin/ui/leads", VIEWS, f"{VIEWS}/bar", "/admin/ui/audit"):
        text = (await admin.client.get(path)).text
        assert "<script>alert" not in text, path
        assert "49" not in re.findall(r"script&gt;(.{0,12})", text), path
    assert "&lt;script&gt;alert(1)&lt;/script&gt;{{7*7}}" in (await admin.client.get(VIEWS)).text
    again = await save(admin, csrf, HOSTILE, shared="true")
    assert again.status_code == 409
    assert "<script>alert" not in again.text
    assert "The team has a view with this name" in again.text


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"name": " "}, "Enter a name"),
        ({"name": "x" * 61}, "Enter a name"),
        ({"name": "fine", "status": "", "q": "ada"}, "Choose a filter or an order first"),
    ],
)
async def test_a_view_that_cannot_be_saved_shows_the_form_again(
    admin: Admin, fields: dict[str, str], message: str
) -> None:
    csrf = await sign_in(admin)
    answer = await save(admin, csrf, **fields)
    assert answer.status_code == 422
    assert message in answer.text
    assert await admin.db.fetchval("SELECT count(*) FROM lead_view") == 0


async def test_a_view_that_is_gone_says_so_and_its_url_still_works(admin: Admin) -> None:
    csrf = await sign_in(admin)
    await admin.add_lead("won", name="Grace Hopper")
    url = (await save(admin, csrf, "Old")).headers["location"]
    view_id = await admin.db.fetchval("SELECT id FROM lead_view")
    renamed = await admin.client.post(f"{VIEWS}/{view_id}", data={"csrf": csrf, "name": "New"})
    assert (renamed.status_code, renamed.headers["location"]) == (303, VIEWS)
    deleted = await admin.client.post(f"{VIEWS}/{view_id}/delete", data={"csrf": csrf})
    assert (deleted.status_code, deleted.headers["location"]) == (303, VIEWS)
    for path in (f"{VIEWS}/{view_id}", f"{VIEWS}/{view_id}/delete", f"{VIEWS}/{uuid4()}/delete"):
        gone = await admin.client.post(path, data={"csrf": csrf, "name": "x"})
        assert gone.status_code == 404
        assert "It may have been deleted" in gone.text
    assert "Grace Hopper" in (await admin.client.get(url)).text
    assert "No saved views yet" in (await admin.client.get(VIEWS)).text


async def test_a_name_that_is_taken_stays_in_its_field(admin: Admin) -> None:
    csrf = await sign_in(admin)
    for name in ("One", "Two"):
        await save(admin, csrf, name)
    view_id = await admin.db.fetchval("SELECT id FROM lead_view WHERE name = 'Two'")
    taken = await admin.client.post(f"{VIEWS}/{view_id}", data={"csrf": csrf, "name": "one"})
    assert taken.status_code == 409
    assert 'value="one"' in taken.text
    assert "You have a view with this name" in taken.text


REPLACE = re.compile('<button type="submit" name="replaces" value="([0-9a-f-]{36})">')


async def test_filters_replace_those_of_a_view_whose_name_is_taken(admin: Admin) -> None:
    csrf = await sign_in(admin)
    await save(admin, csrf, "Closed")
    again = await save(admin, csrf, "closed", status=["lost"], sort="name", zone="Asia/Kolkata")
    assert again.status_code == 409
    offered = REPLACE.search(again.text)
    assert offered
    replaced = await save(admin, csrf, "", status=["lost"], sort="name", replaces=offered.group(1))
    assert (replaced.status_code, replaced.headers["location"]) == (
        303,
        "/admin/ui/leads?status=lost&sort=name",
    )
    rows = await admin.db.fetch("SELECT name, conditions ->> 'status' AS status FROM lead_view")
    assert [tuple(row) for row in rows] == [("Closed", '["lost"]')]
    empty = await save(admin, csrf, "", status="", replaces=offered.group(1))
    assert (empty.status_code, "Choose a filter" in empty.text) == (422, True)


async def test_a_colleague_s_view_cannot_be_replaced(admin: Admin) -> None:
    csrf = await sign_in(admin)
    body = {"name": "Ours", "shared": True, "conditions": {"status": ["received", "won"]}}
    saved = await admin.client.post(
        "/admin/views", json=body, headers={"Authorization": f"Bearer bob-{TOKEN}"}
    )
    view_id = saved.json()["id"]
    again = await save(admin, csrf, "Ours", shared="true", status=["lost"])
    assert (again.status_code, REPLACE.search(again.text)) == (409, None)
    forbidden = await save(admin, csrf, "", status=["lost"], replaces=view_id)
    assert (forbidden.status_code, "Only bob or admin" in forbidden.text) == (403, True)
    unknown = await save(admin, csrf, "", status=["lost"], replaces=str(uuid4()))
    assert unknown.status_code == 404
    assert await admin.db.fetchval("SELECT conditions ->> 'status' FROM lead_view") == '["received", "won"]'


async def test_forms_without_the_token_change_nothing(admin: Admin) -> None:
    csrf = await sign_in(admin)
    await save(admin, csrf, "Mine")
    view_id = await admin.db.fetchval("SELECT id FROM lead_view")
    for path in (VIEWS, f"{VIEWS}/{view_id}", f"{VIEWS}/{view_id}/delete", f"{VIEWS}/new"):
        answer = await admin.client.post(path, data={"name": "x", "status": "won"})
        assert answer.status_code == 403, path
    assert await admin.db.fetchval("SELECT string_agg(name, ',') FROM lead_view") == "Mine"


async def test_the_poll_of_the_counts_is_empty_if_nothing_changed(admin: Admin) -> None:
    await sign_in(admin)
    first = await admin.client.get(f"{VIEWS}/bar", headers=HTMX)
    again = await admin.client.get(f"{VIEWS}/bar", headers=HTMX | {"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.content) == (304, b"")
