"""`POST /inbound/hooks/{hook_key}`: what form builders post becomes a lead, and the answer is exactly 200."""

import base64
import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import structlog

from tests.support.builder_examples import EXAMPLES
from tests.support.services.gateway import Gateway, run_gateway

KEY, SECRET = "hook-key-of-the-studio-1234567890", "a-signing-secret-0123456789"
HOOK = f"/inbound/hooks/{KEY}"
SITES = f"""
[sites.studio]
hook_keys = ["sha256:{sha256(KEY.encode()).hexdigest()}"]
default_service = "Contact form"
"""
BODY = {"name": "Ada", "email": "ada@example.com", "message": "Hello"}


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[Gateway]:
    path = tmp_path / "sites.toml"
    path.write_text(SITES)
    async with run_gateway(sites_file=path, debug={"on": True}) as running:
        yield running


async def _post_example(gateway: Gateway, name: str) -> Any:
    example = EXAMPLES[name]
    return await gateway.client.post(HOOK, content=example.content, headers=example.headers)


@pytest.mark.parametrize("builder", EXAMPLES)
async def test_golden_payload_is_answered_with_200_and_is_a_lead(gateway: Gateway, builder: str) -> None:
    answer = await _post_example(gateway, builder)

    assert answer.status_code == 200, answer.text
    (lead,) = gateway.leads.leads
    assert (lead.name, lead.email, lead.site) == ("Grete Beispiel", "grete@example.com", "studio")
    assert lead.message == "Bitte melden."
    assert str(lead.lead_id) == answer.json()["leadId"]


@pytest.mark.parametrize("builder", EXAMPLES)
async def test_repeated_payload_is_the_same_lead(gateway: Gateway, builder: str) -> None:
    first, second = [await _post_example(gateway, builder) for _ in range(2)]

    assert second.status_code == 200
    assert first.json() == second.json()
    assert len(gateway.leads.leads) == 1


async def test_same_answers_under_two_submission_ids_are_two_leads(gateway: Gateway) -> None:
    for number in ("1", "2"):
        await gateway.client.post(HOOK, json=BODY | {"submission_id": number})

    assert len(gateway.leads.leads) == 2


async def test_unknown_key_is_refused_before_the_body_is_read(gateway: Gateway) -> None:
    async def body() -> AsyncIterator[bytes]:
        raise AssertionError("the body is read")
        yield b""

    answer = await gateway.client.post("/inbound/hooks/guess", content=body())

    assert (answer.status_code, answer.json()["type"]) == (404, "urn:fastcore:problem:unknown-hook")
    assert gateway.audit.entries == []


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b"[]", 400),
        (b"{", 400),
        (b"\xff", 400),
        (b"{}", 422),
        (b'{"event": "ping"}', 422),
        (b"{" + b" " * 300_000, 413),
    ],
)
async def test_payload_that_is_no_lead_is_refused_and_audited(
    gateway: Gateway, content: bytes, status: int
) -> None:
    answer = await gateway.client.post(HOOK, content=content, headers={"Content-Type": "application/json"})

    assert answer.status_code == status
    assert KEY not in answer.text
    (entry,) = gateway.audit.entries
    assert (entry.actor, entry.status_code) == ("studio", status)


async def test_key_of_the_url_is_not_logged(gateway: Gateway) -> None:
    with structlog.testing.capture_logs() as logs:
        await gateway.client.post(HOOK, json=BODY)
        await gateway.client.post(HOOK, json={})

    assert [entry["event"] for entry in logs] == ["request refused"]
    assert KEY not in repr(logs)


@pytest.mark.parametrize("signed", [True, False, None])
async def test_builder_with_a_signing_secret_has_to_sign(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, signed: bool | None
) -> None:
    path = tmp_path / "sites.toml"
    path.write_text(SITES + 'signing_secrets = { typeform = "env:TYPEFORM_SECRET" }\n')
    monkeypatch.setenv("TYPEFORM_SECRET", SECRET)
    content = EXAMPLES["typeform"].content
    digest = hmac.new(SECRET.encode(), content, hashlib.sha256).digest()
    signature = f"sha256={base64.b64encode(digest if signed else digest[::-1]).decode()}"
    headers = {} if signed is None else {"Typeform-Signature": signature}
    async with run_gateway(sites_file=path, debug={"on": True}) as gateway:
        answer = await gateway.client.post(HOOK, content=content, headers=headers)
        other = await gateway.client.post(HOOK, json=BODY)

    assert answer.status_code == (200 if signed else 401)
    assert other.status_code == 200


@pytest.mark.parametrize("title", ["\ud800", "a\0b", "x" * 100_000])
async def test_regression_name_of_the_form_becomes_a_service_that_is_stored(
    tmp_path: Path, title: str
) -> None:
    path = tmp_path / "sites.toml"
    path.write_text(SITES.replace('default_service = "Contact form"', ""))
    async with run_gateway(sites_file=path, debug={"on": True}) as gateway:
        content = json.dumps(BODY | {"form_title": title})
        answer = await gateway.client.post(HOOK, content=content)

        assert answer.status_code == 200
        (lead,) = gateway.leads.leads
        assert len(lead.service) <= 200
        assert "\0" not in lead.service
