"""Which repetitions of a form are the same lead."""

from datetime import timedelta
from pathlib import Path

import pytest

from tests.support.services.gateway import Gateway, run_gateway
from tests.unit.ingest.forms.test_endpoint import FIELDS, PATH, submit


async def test_a_double_click_is_one_lead(gateway: Gateway) -> None:
    assert [(await submit(gateway)).status_code for _ in range(3)] == [303, 303, 303]
    assert len(gateway.leads.leads) == 1


async def test_another_message_is_another_lead(gateway: Gateway) -> None:
    await submit(gateway)
    await submit(gateway, FIELDS | {"Nachricht": "Noch etwas"})
    assert len({lead.lead_id for lead in gateway.leads.leads}) == 2


async def test_the_same_form_of_another_site_is_another_lead(gateway: Gateway) -> None:
    await submit(gateway)
    await submit(gateway, path=PATH.replace("studio", "shop"), Origin="https://shop.example")
    assert len({lead.lead_id for lead in gateway.leads.leads}) == 2


async def test_two_replicas_give_a_double_click_the_same_id(gateway: Gateway, tmp_path: Path) -> None:
    async with run_gateway(tmp_path / "sites.toml") as other:
        await submit(gateway)
        await submit(other)
        assert gateway.leads.leads[0].lead_id == other.leads.leads[0].lead_id


@pytest.mark.parametrize(("seconds", "leads"), [(2, 1), (599, 1), (601, 2)])
async def test_ten_minutes_count_from_the_first_across_a_period_end(
    gateway: Gateway, seconds: int, leads: int
) -> None:
    gateway.now = gateway.now.replace(minute=39, second=59)  # a second before a period ends
    await submit(gateway)
    gateway.now += timedelta(seconds=seconds)
    await submit(gateway)
    assert len(gateway.leads.leads) == leads


async def test_a_key_makes_later_repetitions_one_lead(gateway: Gateway) -> None:
    await submit(gateway, FIELDS | {"_key": "6f1c"})
    gateway.advance(86_400)
    await submit(gateway, FIELDS | {"_key": "6f1c"})
    await submit(gateway, FIELDS, Idempotency_Key='"6f1c"')
    assert len(gateway.leads.leads) == 1


async def test_a_key_that_is_fixed_in_the_page_loses_no_lead(gateway: Gateway) -> None:
    for message in ("Hallo", "Hallo?"):
        answer = await submit(gateway, FIELDS | {"_key": "always", "Nachricht": message})
        assert answer.status_code == 303
    assert len({lead.lead_id for lead in gateway.leads.leads}) == 2
    assert all("always" not in lead.request_id for lead in gateway.leads.leads)
