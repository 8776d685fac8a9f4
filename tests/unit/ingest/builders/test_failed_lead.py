"""An invalid lead of a form builder is published as a failed record, and the builder gets 200."""

import json
from collections.abc import AsyncIterator
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from contracts.failures import LeadFailed
from tests.support.services.gateway import Gateway, expect_problem, run_gateway

KEY = "hook-key-of-the-studio-1234567890"
HOOK = f"/inbound/hooks/{KEY}"
SITES = f'[sites.studio]\nhook_keys = ["sha256:{sha256(KEY.encode()).hexdigest()}"]\n'
BODY = {"name": "Siobhán", "email": "siobhan(at)example.org", "message": "Hello", "form_name": "Quote"}


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[Gateway]:
    path = tmp_path / "sites.toml"
    path.write_text(SITES)
    async with run_gateway(sites_file=path, debug={"on": True}) as running:
        yield running


TALLY = {
    "eventType": "FORM_RESPONSE",
    "data": {
        "submissionId": "s1",
        "fields": [{"key": "q1", "label": "Budget", "type": "TEXT", "value": "9"}],
    },
}


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        (BODY, "email"),
        ({"name": "Ada"}, "email"),
        ({"email": "ada@example.com"}, "message"),
        (BODY | {"email": "ada@example.com", "message": "x" * 10_001}, "message"),
        (TALLY, "email"),
    ],
)
async def test_invalid_lead_is_a_failed_record_that_names_its_fields(
    gateway: Gateway, body: dict[str, Any], fields: str
) -> None:
    answer = await gateway.client.post(HOOK, json=body)

    assert (answer.status_code, answer.json()["status"]) == (200, "needs-correction")
    assert answer.content.endswith(b"}\n")
    assert gateway.leads.records == []
    (record,) = gateway.refused.records
    failed = LeadFailed.from_headers(record.headers)
    assert (failed.stage, failed.kind, failed.final) == ("site", "pull", False)
    assert (failed.reason, failed.origin.topic) == (f"gateway 422: {fields}", "hook:studio")
    assert UUID(record.key.decode()) == UUID(answer.json()["leadId"])
    (entry,) = gateway.audit.entries
    assert (entry.status_code, entry.details["fields"]) == (422, fields.split(", "))
    assert "iobh" not in entry.model_dump_json() + repr(record.headers)


async def test_failed_record_has_what_the_visitor_typed(gateway: Gateway) -> None:
    await gateway.client.post(HOOK, json=BODY | {"Budget": "900"})

    lead = json.loads(gateway.refused.records[0].value)
    assert (lead["name"], lead["email"], lead["Budget"]) == ("Siobhán", BODY["email"], "900")
    assert lead["service"] == "Quote"


async def test_repeated_payload_has_the_same_ids_and_another_payload_has_others(gateway: Gateway) -> None:
    for body in (BODY, BODY, BODY | {"message": "Bye"}, BODY | {"submission_id": "2"}):
        gateway.advance(4000)
        assert (await gateway.client.post(HOOK, json=body)).status_code == 200

    ids = [(each.key, LeadFailed.from_headers(each.headers).event_id) for each in gateway.refused.records]
    assert ids[0] == ids[1]
    assert len(set(ids)) == 3


async def test_builder_repeats_its_request_while_kafka_is_unavailable(gateway: Gateway) -> None:
    gateway.refused.make_kafka_unavailable()

    answer = await gateway.client.post(HOOK, json=BODY)

    assert expect_problem(answer, 503)["type"] == "urn:fastcore:problem:unavailable"
    assert answer.headers["Retry-After"] == "5"


async def test_spam_is_refused_and_not_kept(gateway: Gateway) -> None:
    answer = await gateway.client.post(HOOK, json=BODY | {"honeypot": "buy"})

    expect_problem(answer, 422)
    assert gateway.refused.records == []
