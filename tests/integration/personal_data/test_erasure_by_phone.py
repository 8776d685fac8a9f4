"""A person is found and erased by phone, however the number is written."""

from collections.abc import AsyncIterator

import pytest

from runtime.settings import Kafka, Postgres
from tests.support.services.admin import Admin, running_admin
from tests.support.stack import Stack


@pytest.fixture
async def admin(postgres: Postgres, stack: Stack) -> AsyncIterator[Admin]:
    kafka = Kafka(bootstrap_servers=stack.bootstrap_servers, topic_prefix="nobody.")
    async with running_admin(postgres, kafka) as running:
        yield running


async def test_a_person_is_found_and_erased_by_phone_in_any_spelling(admin: Admin) -> None:
    for phone in ("+44 20 7946 0958", "(0)20 7946-0958", "0044 (0)20 79460958", "7946 0959", "0958"):
        await admin.add_lead(email=None, phone=phone)
    answer = await admin.client.post("/admin/leads/person", json={"phone": "020 7946 0958"})
    found = {lead["phone"] for lead in answer.json()["leads"]}
    assert found == {"+44 20 7946 0958", "(0)20 7946-0958", "0044 (0)20 79460958"}
    answer = await admin.client.post("/admin/leads/erase", json={"phone": "+442079460958"})
    assert len(answer.json()["erased"]) == 3
    phones = await admin.db.fetch("SELECT phone FROM lead_inbox WHERE status <> 'erased' ORDER BY phone")
    assert [row["phone"] for row in phones] == ["0958", "7946 0959"]
    assert await admin.db.fetchval("SELECT count(*) FROM audit_log WHERE event = 'lead.erased'") == 3


@pytest.mark.parametrize("body", [{}, {"phone": "0958"}, {"email": "no address"}])
async def test_an_erasure_of_nobody_is_refused(admin: Admin, body: dict[str, str]) -> None:
    await admin.add_lead(phone="0958")
    for route in ("person", "erase"):
        assert (await admin.client.post(f"/admin/leads/{route}", json=body)).status_code == 422
