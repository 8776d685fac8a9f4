"""A person is found and erased by phone, however the number is written."""

import pytest

from tests.support.services.admin import Admin


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


async def test_regression_a_phone_in_arabic_digits_finds_its_person(admin: Admin) -> None:
    # The lead's digits are compared as ASCII; those of the search stayed Arabic, and matched no lead.
    arabic = "0100 123 4567".translate({ord("0") + digit: 0x660 + digit for digit in range(10)})
    await admin.add_lead(email=None, phone=arabic)
    answer = await admin.client.post("/admin/leads/person", json={"phone": arabic})
    assert [lead["phone"] for lead in answer.json()["leads"]] == [arabic]
