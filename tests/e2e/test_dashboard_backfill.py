"""A week of leads is sent to a new destination in a real browser, cancelled half-way, and started again."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import pytest_asyncio
from aiohttp import web
from playwright.async_api import Page, expect

from tests.e2e.conftest import Dashboard
from tests.support.services.deliveries import new_destination
from tests.support.wait import eventually
from tests.support.web.browser import TIMEOUT_MS
from tests.support.web.webhook_receiver import Receiver, webhook_receiver

pytestmark = pytest.mark.asyncio(loop_scope="session")
LEADS = 40
Insert = Callable[[str, int], Awaitable[set[str]]]
INSERT = """
INSERT INTO lead_inbox (id, request_id, site, email, service, name, message, body_sha256, created_at_utc)
SELECT gen_random_uuid(), 'r', 'studio', $1 || n || '@example.com', $1, $1 || ' ' || n, '', repeat('0', 64),
       now() - n * interval '4 hours'
FROM generate_series(1, $2) AS n RETURNING id
"""


@pytest_asyncio.fixture(loop_scope="session")
async def insert(dashboard: Dashboard) -> AsyncIterator[Insert]:
    """Insert so many leads of a service without records in Kafka, and return their ids.

    They are removed after the test: other tests look for lists, and for a ledger that balances.
    """
    fetch, tags = dashboard.watched.installation.fetch, list[str]()

    async def insert(tag: str, count: int) -> set[str]:
        tags.append(tag)
        return {str(row["id"]) for row in await fetch(INSERT, tag, count)}

    yield insert
    await fetch("DELETE FROM lead_inbox WHERE service = ANY($1)", tags)


async def choose_all(page: Page, tag: str, destination: str) -> None:
    """Choose all leads that match, and ask for the preview of sending them."""
    await page.get_by_label(f"Select {tag} 1", exact=True).check()
    await page.get_by_label(f"All {LEADS} that match").check()
    await page.get_by_label("Destination").select_option(destination)
    await page.get_by_role("button", name="Send", exact=True).click()


async def arrived(receiver: Receiver, count: int) -> None:
    async def ids() -> int:
        return sum(each["type"] == "lead.received" for each in receiver.events)

    await eventually(ids, until=lambda found: found >= count, seconds=60, what="the leads")


async def test_a_week_of_leads_is_sent_cancelled_and_sent_again(
    dashboard: Dashboard, insert: Insert, tmp_path: Path
) -> None:
    installation, tag = dashboard.watched.installation, f"week{uuid4().hex[:8]}"
    name = f"crm-{tag}"
    leads = await insert(tag, LEADS)
    async with (
        webhook_receiver() as receiver,
        new_destination(installation, name, receiver.url, tmp_path),
        dashboard.visit() as visitor,
    ):
        page = visitor.page
        await visitor.open(f"/admin/ui/leads?service={tag}")
        await choose_all(page, tag, name)
        await expect(page.get_by_role("heading", level=1)).to_have_text(f"Send to {name}: {LEADS} leads?")
        await expect(page.get_by_text(f"{LEADS} leads will be sent")).to_be_visible()
        await page.get_by_label("Leads per second").fill("4")
        await expect(page.locator("#rate-help")).to_contain_text("At 4 per second, this takes about 10 s.")
        await visitor.check_in_both_themes()
        await page.get_by_role("button", name=f"Send to {name}").click()
        await arrived(receiver, LEADS // 4)
        await visitor.check()
        await page.get_by_role("button", name="Cancel", exact=True).click()
        await expect(page.get_by_text("Cancelled after")).to_be_visible(timeout=TIMEOUT_MS)
        await visitor.check_in_both_themes()
        sent = await installation.fetch(
            "SELECT lead_id FROM bulk_change_item WHERE result = 'changed' AND lead_id = ANY($1::uuid[])",
            sorted(leads),
        )
        assert LEADS // 4 <= len(sent) < LEADS
        # A lead that the destination has, and one that it has not, are contacted.
        has = str(sent[0]["lead_id"])
        lacks = min(leads - {str(row["lead_id"]) for row in sent})
        for lead_id in (has, lacks):
            answer = await installation.admin(
                "PATCH", f"/admin/leads/{lead_id}/status", params={"new_status": "contacted"}
            )
            assert answer.status_code == 200, answer.text

        await visitor.open(f"/admin/ui/leads?service={tag}")
        await choose_all(page, tag, name)
        await expect(page.get_by_text("The destination already has them")).to_be_visible()
        await visitor.check()
        await page.get_by_label("Leads per second").fill("50")
        await page.get_by_role("button", name=f"Send to {name}").click()
        await expect(page.get_by_text(f"All {LEADS} leads done")).to_be_visible(timeout=2 * TIMEOUT_MS)
        await visitor.check()
        await arrived(receiver, LEADS)
        await changes_arrived(receiver, has, lacks)
        await visitor.open("/admin/ui/destinations")
        await page.get_by_role("link", name=f"Send earlier leads to {name}").click()
        await expect(page.get_by_label("Destination")).to_have_value(name)
        await visitor.check_in_both_themes()
        async with dashboard.visit("phone") as phone:
            await phone.open(f"/admin/ui/bulk/send?destination={name}")
            await phone.check()
            await phone.open(f"/admin/ui/leads?service={tag}")
            await phone.page.get_by_label(f"Select {tag} 1", exact=True).check()
            await expect(phone.page.get_by_role("button", name="Send", exact=True)).to_be_visible()
            await phone.check()
    received = [each["data"]["id"] for each in receiver.events if each["type"] == "lead.received"]
    assert sorted(received) == sorted(leads)
    assert set(receiver.attempts.values()) == {1}, "each webhook-id arrives once"
    assert receiver.unverified == 0
    balance = (
        "SELECT sum(delivery_count) = (SELECT count(*) FROM webhook_delivery) AS is_right FROM webhook_event"
    )
    assert (await installation.fetch(balance))[0]["is_right"]


async def changes_arrived(receiver: Receiver, *lead_ids: str) -> None:
    """Check that the change of each lead arrives, after the lead."""

    async def changes() -> set[str]:
        return {each["data"]["id"] for each in receiver.events if each["type"] == "lead.status_changed"}

    await eventually(changes, until=lambda found: found == set(lead_ids), what="the changes")
    order = [(each["type"], each["data"]["id"]) for each in receiver.events]
    for lead_id in lead_ids:
        assert order.index(("lead.received", lead_id)) < order.index(("lead.status_changed", lead_id))


async def test_failed_deliveries_are_grouped_and_retried(
    dashboard: Dashboard, insert: Insert, tmp_path: Path
) -> None:
    installation, tag = dashboard.watched.installation, f"down{uuid4().hex[:8]}"
    name = f"crm-{tag}"
    await insert(tag, 3)

    async def refuse(_: web.Request) -> web.StreamResponse:
        return web.Response(status=418)

    async with (
        webhook_receiver() as receiver,
        new_destination(installation, name, receiver.url, tmp_path),
        dashboard.visit() as visitor,
    ):
        receiver.answer, accept = refuse, receiver.answer
        page = visitor.page
        order: dict[str, Any] = {"action": "send", "destination": name, "filter": {"service": tag}}
        assert (await installation.admin("POST", "/admin/bulk", json=order)).status_code == 202

        async def dead() -> int:
            """Take the remaining retries from the deliveries that failed so far."""
            await installation.fetch(
                "UPDATE webhook_delivery SET state = 'dead', next_attempt_at = NULL"
                " WHERE destination = $1 AND state = 'failed' AND attempts > 0", name
            )  # fmt: skip
            rows = await installation.fetch(
                "SELECT FROM webhook_delivery WHERE destination = $1 AND state = 'dead'", name
            )
            return len(rows)

        await eventually(dead, until=lambda count: count == 3, what="the dead deliveries")
        receiver.answer = accept
        await visitor.open("/admin/ui/workbench?state=dead")
        group = page.get_by_role("row").filter(has_text=name)
        await expect(group.get_by_role("cell", name="3", exact=True)).to_be_visible(timeout=TIMEOUT_MS)
        await visitor.check_in_both_themes()
        await group.get_by_role("link").click()
        await expect(page.locator("#list tbody tr")).to_have_count(3)
        await expect(page.get_by_role("link", name=f"{tag} 1")).to_be_visible()
        await visitor.check_in_both_themes()
        await page.get_by_role("button", name="Retry all…").click()
        title = f"Retry failed deliveries to {name}"
        await expect(page.get_by_role("heading", level=1)).to_have_text(f"{title}: 3 leads?")
        await visitor.check()
        await page.get_by_role("button", name=title).click()
        await expect(page.get_by_text("All 3 leads done")).to_be_visible(timeout=TIMEOUT_MS)
        await arrived(receiver, 3)
        await visitor.open("/admin/ui/workbench?state=dead")
        await expect(page.get_by_role("row").filter(has_text=name)).to_have_count(0)
