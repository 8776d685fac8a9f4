"""The pages of failed deliveries: rows of every stage, and the dialogs before bulk actions."""

from collections.abc import AsyncIterator
from uuid import uuid4

import pytest

from runtime.settings import Postgres
from tests.support.services.admin import Admin
from tests.support.services.dashboard import running_dashboard, sign_in
from tests.support.stack import Stack


@pytest.fixture
async def admin(postgres: Postgres, stack: Stack) -> AsyncIterator[Admin]:
    async with running_dashboard(postgres, stack) as running:
        yield running


async def test_regression_a_lead_the_gateway_refused_can_be_replayed(admin: Admin) -> None:
    csrf, lead_id = await sign_in(admin), uuid4()
    queue_id = await admin.add_queue_row(
        stage="site", kind="pull", lead_id=lead_id, state="dead", next_attempt_at=None, made_by="site_pull",
        origin_topic="site:shop", reason="gateway 422: email", record_key=b"key-1",
    )  # fmt: skip
    assert "gateway 422: email" in (await admin.client.get(f"/admin/ui/leads/{lead_id}")).text
    replay_url = f"/admin/ui/workbench/items/{queue_id}/replay"
    assert replay_url in (await admin.client.get("/admin/ui/workbench/items", params={"stage": "site"})).text
    assert (await admin.client.post(replay_url, data={"csrf": csrf})).status_code == 303
    assert await admin.db.fetchval("SELECT state FROM replay_queue") == "waiting"


async def test_regression_the_dialogs_count_pending_rows_on_every_tab(admin: Admin) -> None:
    await sign_in(admin)
    url = "/admin/ui/workbench?state=dead"
    page = (await admin.client.get(url)).text
    assert '<span id="clear"></span>' in page
    await admin.add_queue_row(state="dead", next_attempt_at=None, lead_id=uuid4())
    for _ in range(2):
        await admin.add_queue_row(lead_id=uuid4())
    page = (await admin.client.get(url)).text
    assert 'Archive <span id="count-clear">2 pending deliveries</span>' in page
    assert 'Retry <span id="count-flush">2 pending deliveries</span>' in page
    assert "Archive all pending</a>" in page


async def test_a_refused_address_can_be_corrected(admin: Admin) -> None:
    await sign_in(admin)
    lead_id = uuid4()
    await admin.add_queue_row(state="dead", next_attempt_at=None, reason="smtp 550 at rcpt", lead_id=lead_id)
    await admin.add_queue_row(lead_id=uuid4())
    page = (await admin.client.get("/admin/ui/workbench/items")).text
    assert f'href="/admin/ui/leads/{lead_id}/edit#email">Correct the address</a>' in page
    assert page.count("Correct the address") == 1


async def test_a_group_and_a_single_delivery_are_archived(admin: Admin) -> None:
    csrf = await sign_in(admin)
    for _ in range(2):
        await admin.add_queue_row(
            state="dead", next_attempt_at=None, reason="smtp 550 at rcpt", lead_id=uuid4()
        )
    single = await admin.add_queue_row(lead_id=uuid4())
    page = (await admin.client.get("/admin/ui/workbench")).text
    group = "stage=notifier&kind=welcome&state=dead&reason=smtp+550+at+rcpt"
    url = f"/admin/ui/workbench/archive?{group}"
    assert f'href="{url.replace("&", "&amp;")}"' in page
    preview = (await admin.client.get(url)).text
    assert "Archive 2 deliveries?" in preview
    form = {"csrf": csrf, "state": "dead", "reason": "smtp 550 at rcpt", "expected": "2", "comment": ""}
    response = await admin.client.post("/admin/ui/workbench/archive", data=form)
    assert (response.status_code, response.headers["location"]) == (303, "/admin/ui/workbench?state=archived")
    assert "Nothing to archive" in (await admin.client.get(url)).text
    response = await admin.client.post(
        f"/admin/ui/workbench/items/{single}/archive", data={"csrf": csrf}, headers={"HX-Request": "true"}
    )
    assert "The delivery is archived." in response.text
    assert await admin.db.fetchval("SELECT count(*) FROM replay_queue WHERE state = 'archived'") == 3
