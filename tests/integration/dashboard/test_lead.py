"""A lead's own page: the other requests of its person."""

import re
from collections.abc import AsyncIterator

import pytest

from runtime.settings import Postgres
from services.admin.dashboard.pages.lead import OTHERS_MAX
from tests.support.services.admin import Admin
from tests.support.services.dashboard import HTMX, running_dashboard, sign_in
from tests.support.stack import Stack


@pytest.fixture
async def admin(postgres: Postgres, stack: Stack) -> AsyncIterator[Admin]:
    async with running_dashboard(postgres, stack) as running:
        await sign_in(running)
        yield running


def others_of(page: str) -> str:
    """Return the list of other requests on a lead's page; empty if there is none."""
    found = re.search(r'<ul class="others">.*?</ul>', page, re.DOTALL)
    return found[0] if found else ""


async def test_other_requests_of_the_same_mailbox_or_phone_are_linked(admin: Admin) -> None:
    lead = await admin.add_lead(email="ada@example.com", phone="+44 20 7946 0958")
    url = f"/admin/ui/leads/{lead.lead_id}"
    assert others_of((await admin.client.get(url)).text) == ""
    same_mailbox = await admin.add_lead("won", email="Ada@Example.com", phone=None, service="SEO")
    same_phone = await admin.add_lead(email="office@example.com", phone="(020) 79460958", service="Shop")
    await admin.add_lead(email="ada2@example.com", phone="7946 0959")
    others = others_of((await admin.client.get(url)).text)
    linked = set(re.findall(r'href="/admin/ui/leads/([\w-]+)"', others))
    assert linked == {str(same_mailbox.lead_id), str(same_phone.lead_id)}
    for shown in ("SEO", "Won", "Shop", "New", "office<wbr>@example.com", "<time"):
        assert shown in others
    assert "ada@example" not in others.lower(), "the address of this lead is above"


async def test_a_poll_does_not_search_for_other_requests(admin: Admin) -> None:
    lead = await admin.add_lead(email="ada@example.com")
    await admin.add_lead(email="ada@example.com")
    url = f"/admin/ui/leads/{lead.lead_id}"
    assert others_of((await admin.client.get(url)).text)
    assert others_of((await admin.client.get(url, headers=HTMX)).text) == ""


async def test_the_list_of_other_requests_is_bounded(admin: Admin) -> None:
    lead = await admin.add_lead(email="ada@example.com")
    for _ in range(OTHERS_MAX):
        await admin.add_lead(email="ada@example.com")
    url = f"/admin/ui/leads/{lead.lead_id}"
    page = (await admin.client.get(url)).text
    assert others_of(page).count("<li>") == OTHERS_MAX
    assert "Search for the address" not in page
    await admin.add_lead(email="ada@example.com")
    page = (await admin.client.get(url)).text
    assert others_of(page).count("<li>") == OTHERS_MAX
    assert "Search for the address" in page
