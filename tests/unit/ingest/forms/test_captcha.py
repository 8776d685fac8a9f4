"""Captchas: a lead without a solved captcha is stored as spam, and never refused."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import altcha
import pytest

from services.ingest.forms import captcha as captchas
from services.ingest.forms.form_lead import CAPTCHA_FIELDS
from tests.support.services.gateway import Gateway, run_gateway
from tests.support.web.captcha_provider import captcha_provider

FORM = "/inbound/forms/studio-4k7w9q2m"
ORIGIN = {"Origin": "https://studio.example", "Accept": "application/json"}
FIELDS = {"name": "Ada", "email": "ada@example.com", "message": "Hello"}
SITES = """
[sites.studio]
form_key = "studio-4k7w9q2m"
origins = ["https://studio.example"]
captcha = {captcha}

[sites.other]
form_key = "other-form-key"
origins = ["https://studio.example"]
captcha = {{ kind = "altcha" }}
"""


def _sites_file(folder: Path, captcha: str) -> Path:
    path = folder / "sites.toml"
    path.write_text(SITES.format(captcha=captcha))
    return path


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[Gateway]:
    async with run_gateway(sites_file=_sites_file(tmp_path, '{ kind = "altcha" }')) as running:
        yield running


async def _solve(gateway: Gateway, form: str = FORM) -> str:
    challenge = altcha.Challenge.from_dict((await gateway.client.get(f"{form}/challenge")).json())
    solution = altcha.solve_challenge(challenge)
    assert solution is not None
    return altcha.Payload(challenge, solution).to_base64()


async def _reasons(gateway: Gateway, **fields: Any) -> tuple[str, ...]:
    answer = await gateway.client.post(FORM, data=FIELDS | fields, headers=ORIGIN)
    assert answer.status_code == 201, answer.text
    return gateway.leads.leads[-1].spam_reasons


async def test_solved_challenge_is_no_spam_and_no_answer(gateway: Gateway) -> None:
    assert await _reasons(gateway, altcha=await _solve(gateway)) == ()
    assert gateway.leads.leads[-1].extra == {}


async def test_solution_counts_for_one_lead(gateway: Gateway) -> None:
    solution = await _solve(gateway)

    assert await _reasons(gateway, altcha=solution) == ()
    assert await _reasons(gateway, altcha=solution) == ()  # a double click
    rewritten = base64.b64encode(base64.b64decode(solution) + b" ").decode()
    assert await _reasons(gateway, message="Another", altcha=rewritten) == ("captcha_failed",)


@pytest.mark.parametrize("answer", ["x", "e30=", base64.b64encode(b"[" * 5000).decode(), "ü", "x" * 9000])
async def test_forged_answer_is_spam(gateway: Gateway, answer: str) -> None:
    assert set(await _reasons(gateway, altcha=answer)) <= {"captcha_failed", "captcha_missing"}
    assert gateway.leads.leads[-1].spam_reasons


async def test_lead_without_an_answer_is_spam(gateway: Gateway) -> None:
    assert await _reasons(gateway) == ("captcha_missing",)


async def test_solution_for_another_site_is_spam(gateway: Gateway) -> None:
    solution = await _solve(gateway, "/inbound/forms/other-form-key")
    assert await _reasons(gateway, altcha=solution) == ("captcha_failed",)


async def test_changed_challenge_is_spam(gateway: Gateway) -> None:
    payload = json.loads(base64.b64decode(await _solve(gateway)))
    payload["challenge"]["parameters"]["cost"] = 1
    changed = base64.b64encode(json.dumps(payload).encode()).decode()
    assert await _reasons(gateway, altcha=changed) == ("captcha_failed",)


async def test_challenge_of_an_unknown_form_is_not_found(gateway: Gateway) -> None:
    assert (await gateway.client.get("/inbound/forms/unknown-key/challenge")).status_code == 404


@pytest.mark.parametrize(
    ("verdict", "reasons"),
    [
        ({"success": True}, ()),
        ({"success": False}, ("captcha_failed",)),
        ([], ("captcha_unverified",)),
        (None, ("captcha_unverified",)),
    ],
)
@pytest.mark.parametrize("kind", captchas.VERIFY_URLS)
async def test_provider_decides(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, verdict: Any, reasons: tuple[str, ...]
) -> None:
    monkeypatch.setenv("CAPTCHA_SECRET", "a-secret")
    if verdict is None:  # the provider does not answer
        monkeypatch.setattr(captchas, "VERIFY_SECONDS", 0.5)
    path = _sites_file(tmp_path, f'{{ kind = "{kind}", secret = "env:CAPTCHA_SECRET" }}')
    with captcha_provider(verdict) as provider:
        monkeypatch.setitem(captchas.VERIFY_URLS, kind, provider.url)
        async with run_gateway(sites_file=path) as gateway:
            assert await _reasons(gateway, **{CAPTCHA_FIELDS[kind]: "an-answer"}) == reasons
    expected = {"secret": "a-secret", "response": "an-answer", "remoteip": "127.0.0.1"}
    assert provider.requests[0] == expected


async def test_regression_double_click_shares_one_verification(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CAPTCHA_SECRET", "a-secret")
    path = _sites_file(tmp_path, '{ kind = "turnstile", secret = "env:CAPTCHA_SECRET" }')
    fields = FIELDS | {"cf-turnstile-response": "an-answer"}
    with captcha_provider({"success": True}) as provider:
        monkeypatch.setitem(captchas.VERIFY_URLS, "turnstile", provider.url)
        async with run_gateway(sites_file=path) as gateway:
            posts = [gateway.client.post(FORM, data=fields, headers=ORIGIN) for _ in range(2)]
            answers = await asyncio.gather(*posts)

            assert [answer.status_code for answer in answers] == [201, 201]
            assert {lead.spam_reasons for lead in gateway.leads.leads} == {()}
    assert len(provider.requests) == 1
