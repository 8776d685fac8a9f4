"""The pages of bulk changes: the days of a filter, and leads that are sent to a destination."""

import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from runtime.settings import Postgres, SitesFile
from services.admin.dashboard.pages import failed_deliveries
from tests.support.services.admin import Admin
from tests.support.services.dashboard import running_dashboard, sign_in
from tests.support.services.deliveries import add_delivery
from tests.support.services.webhooks import destination, write_sites
from tests.support.stack import Stack


@pytest.fixture
async def admin(postgres: Postgres, stack: Stack, tmp_path: Path) -> AsyncIterator[Admin]:
    file = write_sites(tmp_path, destination("crm", "https://crm.example/hook"))
    async with running_dashboard(postgres, stack, sites_file=SitesFile(path=file)) as running:
        yield running


async def post(admin: Admin, **form: Any) -> str:
    """Send the form of a bulk change, and return the page or the address that follows."""
    answer = await admin.client.post("/admin/ui/bulk", data=form)
    assert answer.status_code in (200, 303), answer.text
    return answer.text if answer.status_code == 200 else answer.headers["location"]


async def test_regression_days_are_those_of_the_viewers_zone(admin: Admin) -> None:
    csrf = await sign_in(admin)
    # 23 March in UTC, 24 March in Kolkata
    await admin.add_lead(occurred_at=datetime(2026, 3, 23, 20, tzinfo=UTC))
    days = {"since": "2026-03-24", "until": "2026-03-24", "matching": "true", "csrf": csrf}
    order = {"action": "status", "new_status": "won", **days}
    assert "Set status to Won: 1 lead?" in await post(admin, **order, zone="Asia/Kolkata")
    assert "Set status to Won: 0 leads?" in await post(admin, **order, zone="UTC")


async def test_earlier_leads_are_previewed_and_sent(admin: Admin) -> None:
    csrf = await sign_in(admin)
    form = (await admin.client.get("/admin/ui/bulk/send?destination=crm")).text
    assert re.search(r"<option[^>]* selected[^>]*>(<[^>]+>)?crm<", form)
    await admin.add_lead()
    await admin.add_lead("spam")
    sent = await admin.add_lead()
    await add_delivery(admin.db, "crm", "delivered", sent.lead_id)
    order = {"action": "send", "destination": "crm", "matching": "true", "per_second": "7", "csrf": csrf}
    preview = await post(admin, **order)
    assert "Send to crm: 1 lead?" in preview
    assert "1 lead will be sent" in preview
    assert "<strong>1</strong> The destination already has it," in preview
    assert "Spam and held leads are not sent." in preview
    assert 'value="7" required' in preview
    location = await post(admin, **order, expected="3")
    assert re.fullmatch(r"/admin/ui/bulk/[0-9a-f-]{36}", location)
    page = (await admin.client.get(location)).text
    assert "Send to crm: 3 leads" in page
    assert "7 per second" in page


async def test_a_period_without_leads_leads_to_another_period(admin: Admin) -> None:
    csrf = await sign_in(admin)
    await admin.add_lead()
    order = {"action": "send", "destination": "crm", "matching": "true", "until": "1999-12-31", "csrf": csrf}
    preview = await post(admin, **order)
    assert "0 leads will be sent" in preview
    assert "No lead matches. Choose another period." in preview
    assert 'href="/admin/ui/bulk/send?destination=crm"' in preview


async def test_regression_a_number_out_of_range_is_a_422(admin: Admin) -> None:
    csrf, huge = await sign_in(admin), str(10**30)
    bulk, replay = "/admin/ui/bulk", "/admin/ui/workbench/replay"
    for path in (
        f"{bulk}/{uuid4()}?cursor=-1",
        f"{bulk}/{uuid4()}?cursor={2**31}",
        f"{bulk}/duration?per_second=1&leads={huge}",
        f"{replay}/duration?per_second=1&wanted={huge}",
    ):
        answer = await admin.client.get(path)
        assert answer.status_code == 422, path
        assert answer.headers["content-type"].startswith("text/html")
    assert (await admin.client.get(f"{bulk}/{uuid4()}?cursor={2**31 - 1}")).status_code == 404
    lead = await admin.add_lead()
    await admin.add_queue_row()
    order = {"action": "status", "new_status": "won", "ids": str(lead.lead_id)}
    forms: dict[str, dict[str, str]] = {bulk: order, replay: {}}
    for path, form in forms.items():
        answer = await admin.client.post(path, data={"expected": f"-{huge}", "csrf": csrf} | form)
        assert answer.status_code == 422, path


async def test_a_row_of_a_failed_delivery_is_retried_at_once(admin: Admin) -> None:
    csrf = await sign_in(admin)
    lead = await admin.add_lead(name="Ada")
    await add_delivery(admin.db, "crm", "dead", lead.lead_id, next_attempt_at=None)
    page = (await admin.client.get("/admin/ui/workbench/deliveries?destination=crm")).text
    assert "Retry the deliveries of Ada" in page
    ids = {"ids": str(lead.lead_id), "expected": "1", "csrf": csrf}
    location = await post(admin, action="retry", destination="crm", **ids)
    assert "Retry failed deliveries to crm: 1 lead" in (await admin.client.get(location)).text


async def test_groups_are_on_the_tabs_of_their_states(admin: Admin) -> None:
    await sign_in(admin)
    await add_delivery(admin.db, "crm", "dead", next_attempt_at=None)
    await add_delivery(admin.db, "crm", "failed", reason="destination does not answer")
    for state, shown in (
        ("", (True, True)),
        ("?state=dead", (True, False)),
        ("?state=waiting", (False, True)),
    ):
        page = (await admin.client.get(f"/admin/ui/workbench{state}")).text
        assert ("state=dead" in page.split("h-failures")[-1], "state=failed" in page) == shown
    assert "No failed deliveries" not in page
    archived = (await admin.client.get("/admin/ui/workbench?state=archived")).text
    assert "Deliveries to destinations" not in archived


async def test_only_the_largest_groups_are_listed(admin: Admin, monkeypatch: pytest.MonkeyPatch) -> None:
    await sign_in(admin)
    monkeypatch.setattr(failed_deliveries, "SHOWN_FAILURES", 1)
    await add_delivery(admin.db, "crm", "dead", reason="destination answered 500", next_attempt_at=None)
    assert "not listed" not in (await admin.client.get("/admin/ui/workbench")).text
    for status in (501, 502):
        reason = f"destination answered {status}"
        await add_delivery(admin.db, "crm", "dead", reason=reason, next_attempt_at=None)
    await add_delivery(admin.db, "crm", "dead", reason="destination answered 502", next_attempt_at=None)
    page = (await admin.client.get("/admin/ui/workbench")).text
    assert "2 smaller groups are not listed." in page
    assert '<a href="/admin/ui/workbench/deliveries?destination=crm"><bdi>crm</bdi></a>' in page
    assert page.count('value="destination answered') == page.count('value="destination answered 502"') == 1


async def test_a_lead_that_failed_has_its_reason_and_is_counted(admin: Admin) -> None:
    await sign_in(admin)
    lead = await admin.add_lead(name="Ada")
    bulk_id = await admin.db.fetchval(
        "INSERT INTO bulk_change (id, actor, action, value, total, next_position, finished_at)"
        " VALUES (gen_random_uuid(), 'ann', 'status', 'won', 2, 3, now()) RETURNING id"
    )
    await admin.db.execute(
        "INSERT INTO bulk_change_item VALUES ($1, 1, $2, 'changed', NULL),"
        " ($1, 2, $2, 'failed', 'database answered P0001')",
        bulk_id,
        lead.lead_id,
    )
    page = (await admin.client.get(f"/admin/ui/bulk/{bulk_id}?result=failed")).text
    assert "2 of 2 leads done, 1 could not be changed" in page
    assert page.count("<code>database answered P0001</code>") == 1
    assert "Not changed" not in page


async def test_an_action_that_the_database_refuses_says_why_it_waits(admin: Admin) -> None:
    await sign_in(admin)
    bulk_id = await admin.db.fetchval(
        "INSERT INTO bulk_change (id, actor, action, value, total, failures, retry_at, retry_reason)"
        " VALUES (gen_random_uuid(), 'ann', 'status', 'won', 2, 3, now() + interval '1 hour',"
        " 'database answered 42501') RETURNING id"
    )
    page = (await admin.client.get(f"/admin/ui/bulk/{bulk_id}")).text
    assert (
        "Waiting after 0 of 2 leads: the database answered with an error (database answered 42501)." in page
    )
    await admin.db.execute("UPDATE bulk_change SET cancelled_at = now()")
    assert "Waiting after" not in (await admin.client.get(f"/admin/ui/bulk/{bulk_id}")).text
