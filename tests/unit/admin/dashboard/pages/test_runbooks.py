"""The runbooks as pages, which the alerts link to."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from deploy.generate.docs import example_settings
from services.admin.app import create_app
from services.admin.settings import Settings

RUNBOOKS = sorted(path.stem for path in Path("docs/runbooks").glob("*.md"))


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    app = create_app(Settings.model_validate(example_settings(Settings)))
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as made:
        yield made


async def test_each_runbook_opens_without_a_session(client: httpx.AsyncClient) -> None:
    for alert in RUNBOOKS:
        page = await client.get(f"/admin/runbooks/{alert}")
        assert page.status_code == 200
        assert f"<h1>{alert}: " in page.text
        assert "<h2>What to do</h2>" in page.text


async def test_links_lead_to_other_runbooks_only(client: httpx.AsyncClient) -> None:
    page = (await client.get("/admin/runbooks/LedgerRewound")).text
    assert "<a>operations.md</a>" in page
    assert "../" not in page
    assert '<a href="SpoolFilling">' in (await client.get("/admin/runbooks/CanaryFailing")).text


@pytest.mark.parametrize("path", ["Unknown", "ServiceDown.md", "..%2Foperations", "%2e%2e%2fservices"])
async def test_nothing_else_is_served(client: httpx.AsyncClient, path: str) -> None:
    page = await client.get(f"/admin/runbooks/{path}")
    assert page.status_code in (303, 404)
