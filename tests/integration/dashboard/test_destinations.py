"""The page of destinations and a lead's deliveries: what each state says, and what a receiver answered."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from runtime.settings import Postgres, SitesFile
from tests.support.services.admin import Admin
from tests.support.services.dashboard import HTMX, running_dashboard, sign_in
from tests.support.services.webhooks import destination, write_sites
from tests.support.stack import Stack

PAGE = "/admin/ui/destinations"
HOSTILE = "<script>document.documentElement.dataset.hacked = 1</script>"


@pytest.fixture
async def admin(postgres: Postgres, stack: Stack, tmp_path: Path) -> AsyncIterator[Admin]:
    file = write_sites(tmp_path, destination("crm", "https://crm.example/s3cret-path"))
    async with running_dashboard(postgres, stack, sites_file=SitesFile(path=file)) as running:
        yield running


async def _page(admin: Admin, path: str = PAGE) -> str:
    return " ".join((await admin.client.get(path)).text.split())


async def test_a_test_event_is_polled_each_second_until_it_came_back(admin: Admin) -> None:
    csrf = await sign_in(admin)
    assert "every 5s" in await _page(admin)
    response = await admin.client.post(f"{PAGE}/crm/test", data={"csrf": csrf}, headers=HTMX)
    assert "Sending a test event to crm." in response.text
    assert response.headers["hx-trigger"] == "refresh"
    page = await _page(admin)
    assert "every 1s" in page
    assert "Waiting for the receiver's response." in page
    await admin.db.execute(
        "UPDATE webhook_delivery SET state = 'delivered', attempts = 1, status_code = 200, duration_ms = 45,"
        " response = $1",
        HOSTILE,
    )
    page = await _page(admin)
    assert "every 5s" in page
    assert "<code>200</code> · 45 ms" in page
    assert HOSTILE not in page
    assert "s3cret" not in page


async def test_a_disabled_destination_waits_for_its_test_event_without_haste(admin: Admin) -> None:
    csrf = await sign_in(admin)
    for action in ("test", "disable"):
        await admin.client.post(f"{PAGE}/crm/{action}", data={"csrf": csrf})
    page = await _page(admin)
    assert "every 5s" in page
    assert "Disabled by <bdi>ann</bdi>" in page
    assert "Send test event" not in page
    refused = await admin.client.post(f"{PAGE}/crm/test", data={"csrf": csrf})
    assert refused.status_code == 409
    assert "enable it first" in refused.text


async def _set_state(admin: Admin, *, paused: str = "NULL", disabled: str = "NULL") -> None:
    """Store until when the destination crm is paused, and since when it is disabled. Both are SQL."""
    await admin.db.execute(
        f"UPDATE webhook_destination SET paused_since = now(), paused_until = {paused},"
        f" disabled_at = {disabled}, disabled_reason = 'disabled by ann'"
    )


async def test_what_a_test_event_waits_for_is_said_once(admin: Admin) -> None:
    await sign_in(admin)
    test = await admin.add_delivery(
        "crm", "failed", event="lead.test", attempts=2, reason="destination answered 500"
    )
    await admin.db.execute("INSERT INTO webhook_destination (name, last_test_id) VALUES ('crm', $1)", test)
    soon = "now() + interval '30 s'"
    await _set_state(admin, paused=soon)
    page = await _page(admin)
    assert "waits until the pause ends" in page
    assert "next attempt" not in page
    await _set_state(admin, disabled="now()")
    page = await _page(admin)
    assert "waits until somebody enables the destination" in page
    assert "next attempt" not in page
    await admin.db.execute("UPDATE webhook_delivery SET next_attempt_at = now() + interval '2 h'")
    await _set_state(admin, paused=soon)
    page = await _page(admin)
    assert "next attempt" in page
    assert "waits until" not in page


async def test_pending_deliveries_that_failed_before_are_linked(admin: Admin) -> None:
    await sign_in(admin)
    lead = await admin.add_lead()
    await admin.add_delivery("crm", "pending", lead.lead_id)
    assert "failed before" not in await _page(admin)
    await admin.add_delivery("crm", "failed", lead.lead_id, attempts=1, reason="erased", position=2)
    page = await _page(admin)
    url = "/admin/ui/workbench/deliveries?destination=crm&amp;state=failed"
    assert f'<a href="{url}">failed before</a>' in page
    assert "<dt>Pending</dt><dd" in page
    failures = await _page(admin, url.replace("&amp;", "&"))
    words = "The lead is erased"
    assert words in failures
    assert "<code>erased</code>" not in failures, "a code that its words contain is not repeated"
    for path in (url.replace("&amp;", "&"), f"/admin/ui/leads/{lead.lead_id}", "/admin/ui/workbench"):
        page = await _page(admin, path)
        assert '<span class="badge amber">Pending</span>' in page, path
        assert ">Retrying</span>" not in page, path


async def test_an_action_needs_the_forms_token_and_a_destination(admin: Admin) -> None:
    csrf = await sign_in(admin)
    for action in ("test", "disable", "enable"):
        assert (await admin.client.post(f"{PAGE}/crm/{action}")).status_code == 403
        response = await admin.client.post(f"{PAGE}/absent/{action}", data={"csrf": csrf})
        assert response.status_code == 404
    assert (await admin.client.get(f"{PAGE}/absent/disable")).status_code == 404
    assert await admin.db.fetchval("SELECT count(*) FROM audit_log WHERE event LIKE 'destination.%'") == 0


async def test_a_destination_and_its_incident_lead_to_each_other(admin: Admin) -> None:
    await sign_in(admin)
    assert "Incident, began" not in await _page(admin)
    await admin.db.execute(
        "INSERT INTO incident (key, component, reason, severity, url, owner, first_seen_at)"
        " VALUES ('x', 'Destinations', 'crm is paused', 'amber', $1, 'bob', now() - interval '1 hour')",
        f"{PAGE}#destination-crm",
    )
    page = await _page(admin)
    assert '<a href="/admin/status#h-incidents">' in page
    assert "<bdi>bob</bdi> takes care of it." in page
    assert f'href="{PAGE}#destination-crm"' in await _page(admin, "/admin/status?full=true")


async def test_an_erased_lead_offers_only_its_erasure_again(admin: Admin) -> None:
    await sign_in(admin)
    lead = await admin.add_lead("erased")
    await admin.add_delivery("crm", "delivered", lead.lead_id, attempts=1, body=None)
    page = await _page(admin, f"/admin/ui/leads/{lead.lead_id}")
    assert "Destinations informed of the deletion" not in page
    assert "/resend" not in page
    informed = await admin.add_delivery(
        "crm", "dead", lead.lead_id, event="lead.erased", attempts=9, position=2
    )
    page = await _page(admin, f"/admin/ui/leads/{lead.lead_id}")
    assert "0 of 1 destination that may have this lead was informed." in page
    assert "Could not be informed" in page
    assert page.count(f"/deliveries/{informed}/crm/resend") == page.count("/resend") == 2


async def test_an_erased_lead_says_why_a_destination_is_not_informed_yet(admin: Admin) -> None:
    await sign_in(admin)
    lead = await admin.add_lead("erased")
    path = f"/admin/ui/leads/{lead.lead_id}"
    off, paused = "waits until somebody enables", "waits until the pause"
    await admin.add_delivery("crm", "pending", lead.lead_id, event="lead.erased")

    async def reasons() -> list[str]:
        page = await _page(admin, path)
        informed = page[page.index('class="informed"') :]
        informed = informed[: informed.index("</ul>")]
        assert "Not informed yet" in informed
        return [each for each in (off, paused, "waits: the sites file no longer has") if each in informed]

    assert await reasons() == []
    await admin.db.execute("INSERT INTO webhook_destination (name) VALUES ('crm')")
    await _set_state(admin, paused="now() + interval '1 min'")
    assert await reasons() == [paused]
    await admin.db.execute(
        "UPDATE webhook_delivery SET state = 'failed', next_attempt_at = now() + interval '2 h'"
    )
    assert await reasons() == [], "its own next attempt is later"
    await _set_state(admin, disabled="now()")
    assert await reasons() == [off]
    await admin.db.execute("UPDATE webhook_delivery SET state = 'delivered', delivered_at = now()")
    assert off not in await _page(admin, path)
    await admin.db.execute("UPDATE webhook_delivery SET destination = 'gone', state = 'pending'")
    assert await reasons() == ["waits: the sites file no longer has"]
