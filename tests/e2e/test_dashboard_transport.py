"""What the dashboard sends to a real browser: compressed pages, unchanged polls, and the edge's own pages."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import httpx
import pytest
from playwright.async_api import Page, Response, expect

from deploy.embedded.servers.standalone import free_ports
from tests.e2e.conftest import Dashboard
from tests.e2e.test_dashboard_leads import search
from tests.support.services.processes import ROOT
from tests.support.wait import eventually
from tests.support.web.browser import TIMEOUT_MS, open_window
from tests.support.web.plain_http import plain_client

pytestmark = pytest.mark.asyncio(loop_scope="session")
# Triggers the polls at once.
POLL = "htmx.trigger(document.body, 'pagevisible')"


async def poll(page: Page, path: str) -> Response:
    """Poll the regions of a page. Return the response to one of the polls."""
    async with page.expect_response(lambda each: each.url.partition("?")[0].endswith(path)) as response:
        await page.evaluate(POLL)
    return await response.value


@pytest.mark.parametrize(
    ("path", "status"), [("/admin/ui/jobs", 304), ("/admin/ui/workbench", 304), ("/admin/ui/leads", 204)]
)
async def test_regression_an_unchanged_poll_has_no_body(dashboard: Dashboard, path: str, status: int) -> None:
    async with dashboard.visit() as visitor:
        await visitor.open(path)
        # The first poll gets the region. Another test's lead may still be on its way.
        statuses = [(await poll(visitor.page, path)).status for _ in range(5)]
        assert status in statuses[1:], statuses
        await expect(visitor.page.get_by_role("heading", level=1)).to_be_visible()
        await visitor.check()


async def test_a_poll_shows_what_changed_back_since_an_action(dashboard: Dashboard) -> None:
    tag = uuid4().hex[:10]
    lead_id = await dashboard.post(name=f"Back {tag}", email=f"{tag}@example.com")
    async with dashboard.visit() as visitor:
        page = visitor.page
        await visitor.open("/admin/ui/leads")
        await search(visitor, tag)
        status = page.get_by_label(f"Status of Back {tag}", exact=True)
        await expect(status).to_have_value("received", timeout=TIMEOUT_MS)

        async def is_unchanged() -> bool:
            return (await poll(page, "/admin/ui/leads")).status == 204

        await eventually(is_unchanged, what="a poll of an unchanged list")
        await status.select_option("contacted")
        await page.get_by_role("button", name=f"Save status of Back {tag}").click()
        await visitor.expect_toast("Status changed to Contacted")
        # The list becomes what it was when it was polled last, while the page shows something else.
        sql = "UPDATE lead_inbox SET status = 'received' WHERE id = $1"
        await dashboard.watched.installation.fetch(sql, lead_id)
        await page.get_by_role("heading", level=1).click()  # a list with the focus in a form is not polled
        await page.evaluate("document.activeElement.blur()")
        await page.evaluate(POLL)
        await expect(status).to_have_value("received")


async def test_regression_pages_are_compressed(dashboard: Dashboard) -> None:
    async with dashboard.visit() as visitor:
        answer = await visitor.page.goto(f"{dashboard.url}/admin/ui/leads")
        assert answer
        assert answer.headers["content-encoding"] in ("zstd", "gzip")
        sizes = await answer.request.sizes()
        assert sizes["responseBodySize"] < len(await answer.body()) / 3
        await visitor.check()


@contextmanager
def edge_without_services(folder: Path) -> Iterator[str]:
    """Run the edge while no service does. Yield its URL."""
    port, ingest, admin = free_ports(3)
    command = [
        sys.executable, "-m", "deploy.embedded.servers.edge", "--port", str(port), "--folder", str(folder),
        "--ingest", f"http://127.0.0.1:{ingest}", "--admin", f"http://127.0.0.1:{admin}",
    ]  # fmt: skip
    process = subprocess.Popen(command, cwd=ROOT)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(10)


async def test_regression_the_edge_shows_a_page_when_admin_is_down(
    dashboard: Dashboard, tmp_path: Path
) -> None:
    with edge_without_services(tmp_path) as url:
        async with plain_client() as client, open_window(dashboard.browser, url, "phone") as visitor:

            async def answers() -> bool:
                try:
                    return (await client.get(f"{url}/internal")).status_code == 404
                except httpx.TransportError:
                    return False

            await eventually(answers, what="the edge")
            await visitor.open("/admin/ui/leads")
            await expect(visitor.page.get_by_role("heading", name="Temporarily unavailable")).to_be_visible()
            again = visitor.page.get_by_role("link", name="Try again")
            assert await again.evaluate("link => link.href") == f"{url}/admin/ui/leads"
            visitor.problems.clear()  # the browser reports the 502
            await visitor.check_in_both_themes()
            program = await client.get(f"{url}/admin/ui/leads", headers={"HX-Request": "true"})
    assert (program.status_code, program.headers["content-type"]) == (502, "application/problem+json")
    assert program.json() == {"type": "about:blank", "title": "Bad Gateway", "status": 502}
