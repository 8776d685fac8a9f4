"""Login in a real browser: the cookie, forged forms, and where the token must not appear."""

from uuid import uuid4

import pytest
from playwright.async_api import Route, expect

from services.admin.auth.session import COOKIE, SESSION_SECONDS
from tests.e2e.conftest import Dashboard
from tests.support.services.installation import ADMIN_TOKEN
from tests.support.wait import eventually
from tests.support.web.browser import TIMEOUT_MS

pytestmark = pytest.mark.asyncio(loop_scope="session")
EVIL = "http://evil.example"


async def test_without_a_session_every_page_leads_to_the_login(dashboard: Dashboard) -> None:
    async with dashboard.visit_signed_out() as visitor:
        for path in ("/admin", "/admin/ui/leads", "/admin/ui/workbench", "/admin/ui/jobs", "/admin/status"):
            await visitor.open(path)
            assert visitor.path == "/admin/login"
            assert await visitor.page.get_by_role("navigation").count() == 0
        for part in ("overview/parts", "overview/leads", "status/queue"):
            answer = await visitor.page.request.get(
                f"{visitor.url}/admin/ui/{part}", headers={"HX-Request": "true"}
            )
            assert answer.status == 401
            assert await answer.text() == ""


async def test_a_login_leads_back_to_the_requested_page(
    dashboard: Dashboard,
) -> None:
    async with dashboard.visit_signed_out("phone") as visitor:
        page = visitor.page
        await visitor.open("/admin/ui/jobs")
        await page.get_by_label("Admin token").fill(f"wrong-{uuid4().hex}")
        await page.get_by_role("button", name="Sign in").click()
        await expect(page.get_by_role("alert")).to_contain_text("Invalid token")
        # The browser reports the 401, and must report nothing else.
        assert [problem for problem in visitor.problems if "401" not in problem] == []
        visitor.problems.clear()
        await visitor.check()
        await page.get_by_label("Admin token").fill(ADMIN_TOKEN)
        await page.get_by_role("button", name="Sign in").click()
        await page.wait_for_url(f"{visitor.url}/admin/ui/jobs")
        (cookie,) = await page.context.cookies()
        assert cookie["name"] == COOKIE
        assert (cookie["httpOnly"], cookie["sameSite"], cookie["path"]) == (True, "Strict", "/admin")
        now = float(await page.evaluate("Date.now() / 1000"))
        assert 0 < cookie["expires"] - now <= SESSION_SECONDS
        assert await page.evaluate("document.cookie") == ""
        await page.get_by_role("button", name="Sign out").click()
        await page.wait_for_url("**/admin/login")
        assert await page.context.cookies() == []
        await visitor.open("/admin/ui/jobs")
        assert visitor.path == "/admin/login"


async def test_a_forged_form_changes_nothing(
    dashboard: Dashboard,
) -> None:
    tag = uuid4().hex[:10]
    lead_id = await dashboard.post(name=f"Fay {tag}", email=f"{tag}@example.com")
    url = f"{dashboard.url}/admin/ui/leads/{lead_id}"

    async def status() -> str | None:
        answer = await dashboard.watched.installation.admin("GET", f"/admin/leads/{lead_id}")
        return (answer.json().get("lead") or {}).get("status") if answer.status_code == 200 else None

    await eventually(status, until=lambda found: found == "received")
    async with dashboard.visit() as visitor:
        page = visitor.page
        await visitor.open(f"/admin/ui/leads/{lead_id}")
        csrf = await page.locator("input[name=csrf]").first.get_attribute("value")
        forged = (
            "async ([url, form]) =>"
            " (await fetch(url, {method: 'POST', body: new URLSearchParams(form)})).status"
        )
        for body in ({"status": "won"}, {"status": "won", "csrf": "0" * 64}):
            assert await page.evaluate(forged, [f"{url}/status", body]) == 403

        async def evil(route: Route) -> None:
            await route.fulfill(
                content_type="text/html",
                body=f"<form method=post action='{url}/status'><input name=status value=won>"
                f"<input name=csrf value={csrf}><button>Win a prize</button></form>",
            )

        await page.route(f"{EVIL}/**", evil)
        await page.goto(f"{EVIL}/")
        await page.get_by_role("button").click()
        # The browser withholds the cookie, so the form reaches the login.
        await page.wait_for_url(f"{dashboard.url}/**")
        assert await page.get_by_role("heading", name=f"Fay {tag}").count() == 0
        # Even with cookie and token, as a browser without SameSite would send them.
        answer = await page.request.post(
            f"{url}/status", form={"status": "won", "csrf": str(csrf)}, headers={"Origin": EVIL}
        )
        assert answer.status == 403
    assert await status() == "received"


async def test_token_and_search_appear_in_no_url_page_or_log(
    dashboard: Dashboard,
) -> None:
    tag = f"needle{uuid4().hex[:10]}"
    email = f"{tag}@example.com"
    lead_id = await dashboard.post(email=email, name="Nobody")
    sources = list[str]()
    async with dashboard.visit_signed_out() as visitor:
        page = visitor.page
        await visitor.sign_in(ADMIN_TOKEN)
        await visitor.open("/admin/ui/leads")
        await page.get_by_label("Search").fill(email)
        await expect(page.get_by_role("link", name="Nobody")).to_be_visible(timeout=TIMEOUT_MS)
        await page.get_by_role("link", name="Nobody").click()
        await page.wait_for_url(f"**/{lead_id}")
        for path in ("/admin", f"/admin/ui/leads/{lead_id}", "/admin/ui/workbench", "/admin/ui/audit"):
            await visitor.open(path)
            sources.append(await page.content())
        stored = await page.evaluate("JSON.stringify([{...localStorage}, {...sessionStorage}])")
        assert ADMIN_TOKEN not in stored
        assert not [url for url in visitor.urls if ADMIN_TOKEN in url or tag in url]
    assert not [text for text in sources if ADMIN_TOKEN in text]
    for name, service in dashboard.watched.installation.services.items():
        log = service.log.read_text()
        assert ADMIN_TOKEN not in log, name
        assert tag not in log, name
