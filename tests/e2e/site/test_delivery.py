"""Leads from the website to the mails: outages, kills, repeats and lost replies lose no lead."""

from pathlib import Path
from uuid import uuid4

import pytest

from deploy.embedded.servers.standalone import free_ports
from tests.support.wait import eventually
from tests.support.web.browser import Size
from tests.support.web.plain_http import plain_client
from tests.support.web.site import Site
from tests.support.web.site_environment import SiteEnvironment, fill, is_thanked, new_email, send

# The proxy, the browser and the tests share one loop.
pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest.mark.parametrize("size", ["desktop", "phone"])
async def test_a_visitors_message_is_with_the_admins_and_both_mails_are_out(
    environment: SiteEnvironment, size: Size
) -> None:
    email = new_email()
    async with environment.visit(size) as page:
        await page.goto(f"{environment.site.url}/?utm_source=newsletter&utm_campaign=spring")
        await page.get_by_role("link", name="Tell us what you need").click()
        await page.wait_for_url("**/contact")
        before, after = await send(page, email)
    lead = await environment.stored(email)
    assert (lead["name"], lead["service"], lead["status"]) == ("Grace Hopper", "Website", "received")
    assert lead["consent"] is True
    assert before <= lead["submitted_at"] <= after
    detail = (await environment.fastcore.admin("GET", f"/admin/leads/{lead['id']}")).json()["lead"]
    assert detail["source"]["utm_source"] == "newsletter"
    assert detail["source"]["utm_campaign"] == "spring"
    assert detail["consent_version"] == "2026-01"
    assert await environment.mailed(lead["id"]) == sorted([email, "admin@fastcore.example"])
    assert await environment.site.depth() == 0


async def test_site_accepts_and_delivers_every_lead_across_outage_and_kill(
    environment: SiteEnvironment,
) -> None:
    first, second = new_email(), new_email()
    await environment.stop_fastcore()
    async with environment.visit() as page:
        sent_first = await send(page, first)
    assert await environment.site.depth() == 1
    environment.site.kill()
    await environment.site.start()
    async with environment.visit("phone") as page:
        sent_second = await send(page, second)
    queue = await environment.site.queue()
    assert [entry["body"]["email"] for entry in queue["entries"]] == [first, second]
    assert "example.com" not in environment.site.log  # the log contains no address
    await environment.start_fastcore()
    await environment.flush()
    for email, (before, after) in ((first, sent_first), (second, sent_second)):
        lead = await environment.stored(email)
        assert before <= lead["submitted_at"] <= after < lead["created_at_utc"]
        assert lead["status"] == "received"
        await environment.mailed(lead["id"])
    await eventually(environment.site.depth, until=lambda depth: depth == 0, what="an empty queue")
    # A second flush must not import anything twice.
    await environment.flush()
    seen = await eventually(environment.reported_queue, until=lambda queue: queue and queue["depth"] == 0)
    assert seen["reason"] is None
    pulls = await environment.fastcore.fetch(
        "SELECT details_json FROM audit_log WHERE event = 'site_queue.pulled'"
    )
    assert sum('"pulled": 2' in each["details_json"] for each in pulls) == 1


async def test_an_answer_lost_after_the_gateway_accepted_is_one_lead(environment: SiteEnvironment) -> None:
    email = new_email()
    async with environment.visit() as page:
        environment.wire.cut_after = email.encode()
        await send(page, email)
    assert environment.wire.cuts >= 2  # no response; its queue may have tried a third time
    lead = await environment.stored(email)
    queue = await environment.site.queue()
    assert [entry["body"]["email"] for entry in queue["entries"]] == [email]
    environment.wire.cut_after = b""
    await environment.flush()
    await eventually(
        environment.site.depth, until=lambda depth: depth == 0, seconds=30, what="an empty queue"
    )
    await environment.mailed(lead["id"])
    assert await environment.lead(email)
    rows = await environment.fastcore.fetch("SELECT 1 FROM replay_queue WHERE lead_id = $1", lead["id"])
    assert rows == []  # the same body under the same key: a duplicate, not a conflict


@pytest.mark.parametrize("scripted", [True, False])
async def test_a_double_click_is_one_lead(environment: SiteEnvironment, *, scripted: bool) -> None:
    email = new_email()
    async with environment.visit(java_script_enabled=scripted) as page:
        await fill(page, email)
        await page.wait_for_timeout(2100)
        await page.get_by_role("button", name="Send").dblclick()
        await is_thanked(page)
    lead = await environment.stored(email)
    await environment.mailed(lead["id"])
    assert await environment.lead(email)


async def test_of_fifty_posts_from_one_address_none_that_was_thanked_is_lost(
    environment: SiteEnvironment,
) -> None:
    service = uuid4().hex
    async with plain_client(headers={"X-Forwarded-For": "203.0.113.50"}, timeout=30) as client:
        answers = [
            await client.post(
                f"{environment.site.url}/api/contact",
                json={
                    "name": "Bot", "email": new_email(), "service": service, "message": str(n),
                    "consent": True,
                },
            )
            for n in range(50)
        ]  # fmt: skip
        page = await client.get(f"{environment.site.url}/contact")
    statuses = [answer.status_code for answer in answers]
    assert statuses == [201] * 20 + [429] * 30
    assert int(answers[-1].headers["Retry-After"]) > 0
    assert page.status_code == 200

    async def stored() -> int:
        return len(await environment.fastcore.fetch("SELECT 1 FROM lead_inbox WHERE service = $1", service))

    await eventually(stored, until=lambda count: count == 20, seconds=60)


async def test_a_site_that_cannot_write_to_its_queue_logs_it_when_it_starts(
    environment: SiteEnvironment, tmp_path: Path
) -> None:
    (tmp_path / "queue").write_text("a file stands where the folder should be")
    site = Site(free_ports(1)[0], tmp_path, environment.site.environment)
    await site.start()

    async def logged() -> bool:
        return "cannot be written" in site.log

    try:
        await eventually(logged, what="the log line")
    finally:
        site.kill()
