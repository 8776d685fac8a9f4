"""Pages without data: errors, static files and redirects of linked addresses."""

import re
from collections.abc import AsyncIterator
from uuid import uuid4

import pytest

from runtime.settings import Postgres
from services.admin.dashboard import rendering
from tests.support.services.admin import Admin
from tests.support.services.dashboard import running_dashboard, sign_in
from tests.support.stack import Stack


@pytest.fixture
async def admin(postgres: Postgres, stack: Stack) -> AsyncIterator[Admin]:
    async with running_dashboard(postgres, stack) as running:
        yield running


async def test_a_cross_site_link_is_repeated_by_our_own_page(admin: Admin) -> None:
    lead = await admin.add_lead()
    browser = {"Accept": "text/html", "Sec-Fetch-Site": "cross-site"}
    response = await admin.client.get(f"/admin/leads/{lead.lead_id}", headers=browser)
    assert (response.status_code, response.headers["location"]) == (303, f"/admin/ui/leads/{lead.lead_id}")
    # The browser withholds the cookie, and sends it when our own page repeats the request.
    response = await admin.client.get(f"/admin/ui/leads/{lead.lead_id}", headers=browser)
    assert response.status_code == 200
    assert f"0; url=/admin/ui/leads/{lead.lead_id}?again=1" in response.text
    assert str(lead.email) not in response.text


async def test_invalid_and_unknown_requests_are_error_pages(admin: Admin) -> None:
    await sign_in(admin)
    statuses = {
        f"/admin/ui/leads/{uuid4()}": 404,
        "/admin/ui/leads/x": 422,
        "/admin/ui/leads?status=nonsense": 422,
        "/admin/ui/audit?cursor=x": 422,
    }
    for path, status in statuses.items():
        response = await admin.client.get(path)
        assert response.status_code == status, path
        assert response.headers["content-type"].startswith("text/html")
        assert "nonsense" not in response.text


async def test_static_files_are_cached_by_version(admin: Admin) -> None:
    page = await admin.client.get("/admin/login")
    urls = re.findall(r'(?:href|src)="(/admin/static/[^"]+)"', page.text)
    assert len(urls) == 7
    fonts = re.findall(r'url\("([^"]+)"\)', (rendering.STATIC / "app.css").read_text(encoding="utf-8"))
    # A font that is not preloaded under the URL of the style sheet is requested twice, and comes too late.
    assert f"/admin/static/{fonts[-1]}" in urls
    for url in (*urls, *(f"/admin/static/{font}" for font in fonts)):
        response = await admin.client.get(url)
        assert response.status_code == 200, url
        assert "immutable" in response.headers["cache-control"]
        assert response.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("tail", ["x%0d%0aX-Evil:%201", "%C3%A4%E2%82%AC", "a%20b"])
async def test_regression_an_encoded_path_breaks_no_redirect_header(admin: Admin, tail: str) -> None:
    browser = {"Accept": "text/html", "Sec-Fetch-Site": "none"}
    response = await admin.client.get(f"/admin/leads/{tail}", headers=browser)
    assert response.status_code == 303
    assert response.headers["location"].isascii()
    assert not set(response.headers["location"]) & set("\r\n ")
    assert "x-evil" not in response.headers


async def test_an_unknown_path_is_a_404_page(admin: Admin) -> None:
    assert (await admin.client.get("/admin/ui/nothing/here")).headers["location"].startswith("/admin/login")
    await sign_in(admin)
    response = await admin.client.get("/admin/ui/nothing/here")
    assert response.status_code == 404
    assert response.headers["content-type"].startswith("text/html")
    assert "This page does not exist." in response.text
