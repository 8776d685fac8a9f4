"""A team notification that the next digest lists: what the API and the lead's page say of it."""

from collections.abc import AsyncIterator

import pytest

from contracts.leads import LeadReceived
from runtime.settings import Postgres
from tests.support.services.admin import TOKEN, Admin
from tests.support.services.dashboard import running_dashboard, sign_in
from tests.support.stack import Stack


@pytest.fixture
async def admin(postgres: Postgres, stack: Stack) -> AsyncIterator[Admin]:
    async with running_dashboard(postgres, stack) as running:
        await sign_in(running)
        running.client.headers["Authorization"] = f"Bearer {TOKEN}"
        yield running


async def collected(admin: Admin, state: str = "collected") -> LeadReceived:
    lead = await admin.add_lead()
    await admin.add_email(lead.lead_id, "welcome", "sent")
    await admin.add_email(lead.lead_id, "admin_alert", state)
    await admin.db.execute(
        "INSERT INTO collected_alert (lead_id, site, service, due_at, record_id, record_topic,"
        " record_partition, record_offset, record_timestamp, payload, headers)"
        " VALUES ($1, 'default', '', '2026-07-01 14:00Z', $1, 't', 0, 0, 0, '', '{}')",
        lead.lead_id,
    )
    return lead


@pytest.mark.parametrize("state", ["collected", "waiting"])
async def test_a_collected_notification_says_when_the_digest_is_due(admin: Admin, state: str) -> None:
    lead = await collected(admin, state)
    details = (await admin.client.get(f"/admin/leads/{lead.lead_id}")).json()
    due = {mail["kind"]: mail["digest_at"] for mail in details["emails"]}
    assert due == {"welcome": None, "admin_alert": "2026-07-01T14:00:00Z"}
    assert "digest.planned" in [event["event"] for event in details["timeline"] if event["planned"]]
    page = (await admin.client.get(f"/admin/ui/leads/{lead.lead_id}")).text
    assert "In the next digest to the team, about" in page
    assert '<time datetime="2026-07-01T14:00:00.000+00:00"' in page
    assert "admin_alert/resend" not in page


@pytest.mark.parametrize("state", ["collected", "waiting", "unknown"])
async def test_a_notification_that_a_digest_lists_is_not_resent(admin: Admin, state: str) -> None:
    lead = await collected(admin, state)
    answer = await admin.client.post(f"/admin/leads/{lead.lead_id}/emails/admin_alert/resend")
    assert answer.status_code == 409
    assert answer.json()["detail"] == "The next digest to the team lists the lead."


async def test_an_erasure_deletes_the_record_of_a_collected_notification(admin: Admin) -> None:
    lead = await collected(admin)
    await admin.db.execute("UPDATE email_delivery SET recipient = 'boss@fast.example'")
    await admin.db.execute("SELECT erase_lead($1, 'tom')", lead.lead_id)
    assert await admin.db.fetchval("SELECT count(*) FROM collected_alert") == 0
    state = await admin.db.fetchrow("SELECT state, reason FROM email_delivery WHERE kind = 'admin_alert'")
    assert state is not None
    assert tuple(state) == ("suppressed", "erased")
