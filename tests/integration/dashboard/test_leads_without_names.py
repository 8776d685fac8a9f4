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
        csrf = await sign_in(admin)
        page = (await admin.client.post("/admin/ui/leads", data={"csrf": csrf})).text
        link = re.search(rf'<a class="lead" href="/admin/ui/leads/{lead.lead_id}"><bdi>(.*?)</bdi>', page)
        assert link
        assert link[1] == "Website visitor"
        assert "None" not in page
        detail = (await admin.client.get(f"/admin/ui/leads/{lead.lead_id}")).text
        assert "<h1><bdi>Website visitor</bdi></h1>" in detail
        assert '<bdi class="lines">a\nb</bdi>' in detail
        assert "No message." in detail
        assert (await admin.client.get(f"/admin/ui/leads/{lead.lead_id}/edit")).status_code == 200
