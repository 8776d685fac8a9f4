"""The leads that the command palette finds, on a real PostgreSQL."""

from collections.abc import AsyncIterator

import pytest

from runtime.settings import Postgres
from tests.support.services.admin import Admin
from tests.support.services.dashboard import running_dashboard, sign_in
from tests.support.stack import Stack

URL = "/admin/ui/palette"


@pytest.fixture
async def admin(postgres: Postgres, stack: Stack) -> AsyncIterator[Admin]:
    async with running_dashboard(postgres, stack) as running:
        yield running


async def test_the_palette_finds_leads_by_words_and_id(admin: Admin) -> None:
    csrf = await sign_in(admin)
    lead = await admin.add_lead(name="Zoë <b>", phone="+44 20 7946 0958", service="Hosting")
    await admin.add_lead(name="Grace")
    for words in ("zoe", "hosting zoe", "79460958", str(lead.lead_id), str(lead.lead_id)[-8:]):
        answer = await admin.client.post(URL, data={"csrf": csrf, "q": words})
        assert f'data-url="/admin/ui/leads/{lead.lead_id}"' in answer.text, words
        assert "Zoë &lt;b&gt;" in answer.text
        assert "Grace" not in answer.text


@pytest.mark.parametrize("words", ["", " ", "z", "0190a5a0-0000-7000-8000-000000000000"])
async def test_too_few_words_and_an_unknown_id_find_nothing(admin: Admin, words: str) -> None:
    csrf = await sign_in(admin)
    await admin.add_lead(name="Zoë")
    answer = await admin.client.post(URL, data={"csrf": csrf, "q": words})
    assert (answer.status_code, "option" in answer.text) == (200, False)


async def test_the_palette_needs_a_session_and_a_csrf_token(admin: Admin) -> None:
    assert (await admin.client.post(URL, data={"q": "zoe"})).headers["location"].startswith("/admin/login")
    await sign_in(admin)
    assert (await admin.client.post(URL, data={"q": "zoe"})).status_code == 403
