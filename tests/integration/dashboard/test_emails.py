"""The preview of emails: what the notifier composes, in a frame that runs nothing."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
from aiohttp import web
from fastapi import FastAPI

from runtime.settings import Postgres, SitesFile
from runtime.sites.file import read_sites
from services.admin import texts
from services.admin.dashboard.rendering import HEADERS
from services.notifier.mail.identities import Identities
from services.notifier.mail.message import Identity
from services.notifier.routes import preview_routes
from tests.support.services.admin import Admin
from tests.support.services.dashboard import running_dashboard, sign_in
from tests.support.stack import Stack
from tests.support.web.http_server import serve
from tests.support.web.texts import BRACKETED, texts_outside_of_brackets

PAGE = "/admin/ui/emails"
SITES = """
[sites.nord]
name = "Studio Nord"
locale = "de"
reply_to = "office@nord.example"
alert_to = ["team@nord.example"]
templates = "nord"
[sites.sud]
"""
HOSTILE = "<script>document.title = 'hacked'</script>"


@asynccontextmanager
async def serving_previews(sites: Path, admin: str = "boss@agency.example") -> AsyncIterator[str]:
    """Serve the route of the notifier, without its database and its Kafka."""
    app = FastAPI()
    default = Identity("hello@agency.example", "Agency", (admin,))
    app.include_router(preview_routes(Identities(default, read_sites(sites), sites.parent)))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://notifier") as client:

        async def answer(request: web.Request) -> web.Response:
            response = await client.get(request.path_qs)
            return web.Response(
                body=response.content, status=response.status_code, content_type="application/json"
            )

        async with serve(answer) as url:
            yield url


@pytest.fixture
async def admin(postgres: Postgres, stack: Stack, tmp_path: Path) -> AsyncIterator[Admin]:
    (tmp_path / "nord").mkdir()
    (tmp_path / "nord" / "welcome.html").write_text(f"{HOSTILE}<p>Moin {{{{ name }}}}</p>")
    file = tmp_path / "sites.toml"
    file.write_text(SITES)
    async with (
        serving_previews(file) as url,
        running_dashboard(
            postgres, stack, sites_file=SitesFile(path=file), service_urls={"notifier": url}
        ) as running,
    ):
        yield running


async def test_the_page_shows_the_email_of_a_site(admin: Admin) -> None:
    await sign_in(admin)
    page = (await admin.client.get(f"{PAGE}?site=nord&kind=welcome")).text
    assert "<bdi>Vielen Dank für Ihre Anfrage bei Studio Nord</bdi>" in page
    assert "<bdi>Studio Nord &lt;hello@agency.example&gt;</bdi>" in page
    assert "<bdi>office@nord.example</bdi>" in page
    assert "Ihre Anfrage ist bei uns eingegangen." in page
    french = (await admin.client.get(f"{PAGE}?site=nord&kind=welcome&locale=fr")).text
    assert "Nous avons bien reçu votre demande." in french
    alert = (await admin.client.get(f"{PAGE}?site=nord&kind=admin_alert&locale=fr")).text
    assert "<bdi>team@nord.example</bdi>" in alert
    assert "<bdi>Neue Anfrage " in alert


async def test_every_text_of_the_page_is_in_a_catalogue(
    admin: Admin, monkeypatch: pytest.MonkeyPatch
) -> None:
    await sign_in(admin)
    monkeypatch.setattr(texts, "find_viewer", lambda _: BRACKETED)
    page = (await admin.client.get(f"{PAGE}?site=nord")).text
    assert "office@nord.example" in page
    assert texts_outside_of_brackets(page) == []


async def test_the_html_is_in_a_frame_that_runs_nothing_and_has_no_origin(admin: Admin) -> None:
    await sign_in(admin)
    response = await admin.client.get(f"{PAGE}?site=nord&kind=welcome")
    assert 'sandbox=""' in response.text
    assert f'src="{PAGE}/html?site=nord&amp;kind=welcome&amp;locale="' in response.text
    assert HOSTILE not in response.text
    policy = response.headers["content-security-policy"]
    assert policy == HEADERS["Content-Security-Policy"] + "; frame-src 'self'"

    framed = await admin.client.get(f"{PAGE}/html?site=nord&kind=welcome")
    assert framed.text.startswith(f"{HOSTILE}<p>Moin Ada Lovelace</p>")
    directives = framed.headers["content-security-policy"].split("; ")
    assert {"default-src 'none'", "sandbox", "frame-ancestors 'self'"} <= set(directives)
    assert not [each for each in directives if "script" in each]
    assert framed.headers["x-frame-options"] == "SAMEORIGIN"
    assert framed.headers["cache-control"] == "no-store"


async def test_regression_a_template_that_fails_is_named_beside_our_email(
    postgres: Postgres, stack: Stack, tmp_path: Path
) -> None:
    file = tmp_path / "sites.toml"
    file.write_text(SITES + "templates = 'sud'\n")
    for site, text in (("nord", "{% if lang == 'fr' %}{{ nmae }}{% endif %}Moin"), ("sud", "{{ nmae }}")):
        (tmp_path / site).mkdir()
        (tmp_path / site / "welcome.html").write_text(text)
    notice, mistake = "The email is sent with the built-in templates", "&#39;nmae&#39; is undefined"
    async with (
        serving_previews(file) as url,
        running_dashboard(
            postgres, stack, sites_file=SitesFile(path=file), service_urls={"notifier": url}
        ) as admin,
    ):
        await sign_in(admin)
        for query, fails in (("site=nord", False), ("site=nord&locale=fr", True), ("site=sud", True)):
            page = (await admin.client.get(f"{PAGE}?{query}")).text
            assert (notice in page, mistake in page) == (fails, fails), query
            html = (await admin.client.get(f"{PAGE}/html?{query}")).text
            assert ("Moin" in html) is not fails, query


async def test_regression_an_email_that_cannot_be_sent_says_why(
    postgres: Postgres, stack: Stack, tmp_path: Path
) -> None:
    file = tmp_path / "sites.toml"
    file.write_text("[sites.sud]\n")
    async with (
        serving_previews(file, "nobody") as url,
        running_dashboard(
            postgres, stack, sites_file=SitesFile(path=file), service_urls={"notifier": url}
        ) as admin,
    ):
        await sign_in(admin)
        page = (await admin.client.get(f"{PAGE}?kind=admin_alert")).text
        assert "This email cannot be sent" in page
        assert "The address is not valid" in page
        assert "does not answer" not in page
        assert (await admin.client.get(f"{PAGE}/html?kind=admin_alert")).status_code == 404


async def test_other_pages_stay_without_frames(admin: Admin) -> None:
    await sign_in(admin)
    await admin.client.get(PAGE)
    headers = (await admin.client.get("/admin/ui/jobs")).headers
    assert headers["content-security-policy"] == HEADERS["Content-Security-Policy"]
    assert headers["x-frame-options"] == "DENY"


@pytest.mark.parametrize(
    "query", ["site=unknown", "locale=xx", "locale=../../x", "site=%00", "site=nord&locale=de&kind=welcome"]
)
async def test_an_unknown_site_or_locale_shows_a_known_one(admin: Admin, query: str) -> None:
    await sign_in(admin)
    response = await admin.client.get(f"{PAGE}?{query}")
    assert (response.status_code, "Studio Nord" in response.text) == (200, True)


async def test_both_need_a_session(admin: Admin) -> None:
    for path in (PAGE, f"{PAGE}/html"):
        response = await admin.client.get(path)
        assert response.status_code == 303
        assert response.headers["location"].startswith("/admin/login")


async def test_a_notifier_that_does_not_answer_is_reported(postgres: Postgres, stack: Stack) -> None:
    for urls in ({}, {"notifier": "http://127.0.0.1:1"}):
        async with running_dashboard(postgres, stack, service_urls=urls) as admin:
            await sign_in(admin)
            page = await admin.client.get(PAGE)
            assert (page.status_code, "The email service does not answer" in page.text) == (200, True)
            assert (await admin.client.get(f"{PAGE}/html")).status_code == 404
