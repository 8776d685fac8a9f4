"""CSRF protection of the dashboard: forged forms are refused."""

from collections.abc import AsyncIterator

import pytest

from runtime.settings import Postgres
from tests.support.services.admin import TOKEN, Admin
from tests.support.services.dashboard import running_dashboard, sign_in
from tests.support.stack import Stack


@pytest.fixture
async def admin(postgres: Postgres, stack: Stack) -> AsyncIterator[Admin]:
    async with running_dashboard(postgres, stack) as running:
        yield running


async def test_forged_posts_are_403_and_change_nothing(admin: Admin) -> None:
    csrf = await sign_in(admin)
    lead = await admin.add_lead()
    url = f"/admin/ui/leads/{lead.lead_id}/status"
    good = {"csrf": csrf, "status": "won"}
    forged: list[tuple[dict[str, str], dict[str, str]]] = [
        ({"status": "won"}, {}),
        ({"status": "won", "csrf": ""}, {}),
        ({"status": "won", "csrf": "0" * 64}, {}),
        (good, {"Origin": "https://evil.example"}),
        (good, {"Origin": "null"}),
        (good, {"Sec-Fetch-Site": "cross-site"}),
        (good, {"Sec-Fetch-Site": "same-site"}),
    ]
    for data, headers in forged:
        assert (await admin.client.post(url, data=data, headers=headers)).status_code == 403, headers
    status = "SELECT status FROM lead_inbox WHERE id = $1"
    assert await admin.db.fetchval(status, lead.lead_id) == "received"
    response = await admin.client.post(url, data=good, headers={"Origin": "https://admin"})
    assert response.status_code == 303
    assert await admin.db.fetchval(status, lead.lead_id) == "won"


async def test_a_forged_login_is_403(admin: Admin) -> None:
    for headers in (
        {"Origin": "https://evil.example"},
        {"Origin": "https://["},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
    ):
        response = await admin.client.post("/admin/login", data={"token": TOKEN}, headers=headers)
        assert response.status_code == 403
        assert "set-cookie" not in response.headers
