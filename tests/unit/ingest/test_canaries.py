"""The gateway tells canaries from leads: canaries cost no limit, and nobody hides a lead by a mark."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from uuid_utils.compat import uuid7

from contracts.canary import RESPONSE_HEADER, canary_fields, canary_of
from runtime import metrics
from runtime.settings import Canary
from services.ingest.lead_acceptance import CANARIES_PER_HOUR
from tests.support.services.gateway import Gateway, run_gateway

SECRET = "a secret of the tests, 32 bytes long"
PATH = "/inbound/forms/studio-4k7w9q2m"
SITES = """
[sites.www]
[sites.studio]
form_key = "studio-4k7w9q2m"
origins = ["https://studio.example"]
captcha = { kind = "altcha", secret = "env:CAPTCHA_SECRET" }
limits = { form_leads_per_hour = 1, leads_per_email_per_hour = 1 }
"""


@pytest.fixture
async def gateway(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Gateway]:
    monkeypatch.setenv("CAPTCHA_SECRET", "a captcha secret of the tests")
    file = tmp_path / "sites.toml"
    file.write_text(SITES)
    async with run_gateway(file, canary=Canary(secret=SECRET)) as running:
        uuid = uuid7()
        running.advance((uuid.int >> 80) / 1000 - running.now.timestamp())
        yield running


def fields(site: str, **changes: Any) -> dict[str, Any]:
    return canary_fields(SECRET.encode(), site, uuid7()) | changes


async def submit(gateway: Gateway, data: dict[str, Any]) -> httpx.Response:
    headers = {"Origin": "https://studio.example", "Accept": "application/json"}
    return await gateway.client.post(PATH, data=data, headers=headers)


async def test_canaries_pass_the_form_s_limits_and_captcha_and_are_no_leads(gateway: Gateway) -> None:
    counts = [metrics.LEADS_ACCEPTED.labels(outcome=each) for each in ("received", "held", "spam")]
    before = [each._value.get() for each in counts]
    for _ in range(3):
        answer = await submit(gateway, fields("studio", _gotcha="canary"))
        assert (answer.status_code, answer.headers[RESPONSE_HEADER]) == (201, "kafka")
    assert [str(canary_of(each.headers)) for each in gateway.leads.records] == [
        str(lead.lead_id) for lead in gateway.leads.leads
    ]
    assert {lead.spam_reasons for lead in gateway.leads.leads} == {()}
    assert [each._value.get() for each in counts] == before


async def test_a_forged_canary_is_an_ordinary_lead(gateway: Gateway) -> None:
    mark = fields("studio")["fastcore_canary"]
    answer = await submit(gateway, {"email": "ada@example.com", "message": "Hello", "fastcore_canary": mark})
    assert (answer.status_code, RESPONSE_HEADER in answer.headers) == (201, False)
    (record,) = gateway.leads.records
    assert canary_of(record.headers) is None
    assert gateway.leads.leads[0].spam_reasons  # the captcha of the form counts


async def test_a_canary_of_the_website_s_route_has_its_id_as_lead_id(gateway: Gateway) -> None:
    canary = fields("www", meta={"honeypot": "canary"})
    answer = await gateway.post(canary)
    assert answer.json()["leadId"] == canary["fastcore_canary"].partition(".")[0]
    assert canary_of(gateway.leads.records[0].headers)


async def test_a_mark_that_is_sent_again_and_again_floods_nothing(gateway: Gateway) -> None:
    canary = fields("www")
    assert (await gateway.post(canary)).headers[RESPONSE_HEADER] == "kafka"
    for _ in range(CANARIES_PER_HOUR + 5):
        answer = await gateway.post(canary)
        assert (answer.status_code, answer.headers[RESPONSE_HEADER]) == (201, "known")
    assert len(gateway.leads.records) == 1
    # The site's own canaries still get through, and one beyond the limit says so.
    answers = [await gateway.post(fields("www")) for _ in range(CANARIES_PER_HOUR)]
    assert [each.headers[RESPONSE_HEADER] for each in answers] == [
        *["kafka"] * (CANARIES_PER_HOUR - 1),
        "limited",
    ]
    assert len(gateway.leads.records) == CANARIES_PER_HOUR


async def test_without_the_secret_a_canary_is_spam_that_nobody_is_mailed_about(tmp_path: Path) -> None:
    async with run_gateway() as gateway:
        answer = await gateway.post(fields("www", meta={"honeypot": "canary"}))
        assert RESPONSE_HEADER not in answer.headers
        assert gateway.leads.leads[0].first_status == "spam"
