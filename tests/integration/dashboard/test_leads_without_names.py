"""The dashboard shows leads without a name, an address or a message, and answers of several lines."""

import re

import pytest

from runtime.settings import Postgres
from tests.support.services.dashboard import running_dashboard, sign_in
from tests.support.stack import Stack


@pytest.mark.parametrize("name", [None, "\u200b"])
async def test_link_to_a_lead_without_a_visible_name_has_a_text(
    postgres: Postgres, stack: Stack, name: str | None
) -> None:
    async with running_dashboard(postgres, stack) as admin:
        lead = await admin.add_lead(name=name, email=None, message="", extra={"room": "a\nb"})
        await sign_in(admin)
        page = (await admin.client.get("/admin/ui/leads")).text
        link = re.search(rf'<a class="lead" href="/admin/ui/leads/{lead.lead_id}"><bdi>(.*?)</bdi>', page)
        assert link
        assert link[1] == "Website visitor"
        assert "None" not in page
        detail = (await admin.client.get(f"/admin/ui/leads/{lead.lead_id}")).text
        assert "<h1><bdi>Website visitor</bdi></h1>" in detail
        assert '<bdi class="lines">a\nb</bdi>' in detail
        assert "No message." in detail
        for page_name in ("edit", "erase"):
            answer = await admin.client.get(f"/admin/ui/leads/{lead.lead_id}/{page_name}")
            assert answer.status_code == 200, answer.text


async def test_lead_without_an_address_is_exported_and_deleted(postgres: Postgres, stack: Stack) -> None:
    async with running_dashboard(postgres, stack) as admin:
        lead, other = [await admin.add_lead(email=None) for _ in range(2)]
        csrf = await sign_in(admin)
        path = f"/admin/ui/leads/{lead.lead_id}"
        export = (await admin.client.post(f"{path}/export", data={"csrf": csrf})).json()
        assert export["lead"]["id"] == str(lead.lead_id)
        assert export["other_leads"] == []
        answer = await admin.client.post(f"{path}/erase", data={"csrf": csrf, "confirmed": "true"})
        assert answer.status_code < 400, answer.text
        rows = await admin.db.fetch("SELECT id FROM lead_inbox WHERE status = 'erased'")
        assert [row["id"] for row in rows] == [lead.lead_id]
        assert other.lead_id != lead.lead_id
