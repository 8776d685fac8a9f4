"""The columns of the list of leads: chosen by a form, remembered by a cookie."""

import html
import re
from collections.abc import AsyncIterator

import pytest

from runtime.settings import Postgres
from tests.support.services.admin import Admin
from tests.support.services.dashboard import HTMX, running_dashboard, sign_in
from tests.support.stack import Stack

LEADS = "/admin/ui/leads"
USUAL = ["Lead", "Company", "Service", "Status", "Assignee", "Received"]


@pytest.fixture
async def admin(postgres: Postgres, stack: Stack) -> AsyncIterator[Admin]:
    async with running_dashboard(postgres, stack) as running:
        yield running


async def headings(admin: Admin, path: str = LEADS) -> list[str]:
    """Return the names of the columns after the boxes."""
    page = (await admin.client.get(path)).text
    head = re.search(r"<thead>(.*?)</thead>", page, re.DOTALL)
    assert head, page
    texts = re.sub(r"<span.*?</span>|<input[^>]*>", "", head.group(1))
    return [re.sub(r"<[^>]+>", "", each).strip() for each in re.findall(r"<th.*?</th>", texts)][1:]


async def test_the_chosen_columns_are_remembered(admin: Admin) -> None:
    csrf = await sign_in(admin)
    await admin.add_lead(name="Ada", phone="+44 20 7946 0958", company="Engines & Co")
    assert await headings(admin) == USUAL
    url = f"{LEADS}?status=received&sort=name"
    form = {"csrf": csrf, "columns": ["updated", "phone", "status"], "url": url}
    chosen = await admin.client.post(f"{LEADS}/columns", data=form)
    assert (chosen.status_code, chosen.headers["location"]) == (303, url)
    cookie = chosen.headers["set-cookie"]
    assert cookie.startswith("fastcore_columns=lead.phone.status.updated;")
    for part in ("HttpOnly", "Secure", "SameSite=strict", f"Path={LEADS}"):
        assert part in cookie
    assert await headings(admin) == ["Lead", "Phone", "Status", "Last change"]
    page = (await admin.client.get(LEADS)).text
    assert "+44 20 7946 0958" in html.unescape(page)
    assert "Engines" not in page
    # The poll shows the same columns.
    polled = await admin.client.post(LEADS, data={"csrf": csrf}, headers=HTMX)
    assert "+44 20 7946 0958" in html.unescape(polled.text)
    assert "Engines" not in polled.text


async def test_no_column_may_be_chosen_and_htmx_loads_the_page_again(admin: Admin) -> None:
    csrf = await sign_in(admin)
    await admin.add_lead()
    answer = await admin.client.post(f"{LEADS}/columns", data={"csrf": csrf}, headers=HTMX)
    assert (answer.status_code, answer.headers["hx-refresh"]) == (204, "true")
    assert await headings(admin) == ["Lead"]


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"columns": "password"}, 422),
        ({"url": "https://evil.example/"}, 303),
        ({"url": "//evil.example"}, 303),
    ],
)
async def test_unknown_columns_and_other_sites_are_refused(
    admin: Admin, fields: dict[str, str], status: int
) -> None:
    csrf = await sign_in(admin)
    answer = await admin.client.post(f"{LEADS}/columns", data={"csrf": csrf} | fields)
    assert answer.status_code == status
    assert answer.headers.get("location", "/admin") == "/admin"


async def test_a_strange_cookie_shows_the_usual_columns(admin: Admin) -> None:
    await sign_in(admin)
    await admin.add_lead()
    admin.client.cookies.set("fastcore_columns", "'><script>", path=LEADS)
    assert await headings(admin) == USUAL
