"""`POST /inbound/forms/{form_key}`: what a browser and a script get, and what becomes a lead."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from contracts.leads import LeadReceived
from tests.support.services.gateway import Gateway, expect_problem, run_gateway

PATH = "/inbound/forms/studio-4k7w9q2m"
ORIGIN = "https://studio.example"
PAGE = f"{ORIGIN}/contact?utm_source=newsletter&utm_campaign=spring&gclid=abc&color=red"
HTML = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
SITES = f"""
[sites.studio]
name = "Studio Nord"
form_key = "studio-4k7w9q2m"
origins = ["{ORIGIN}", "https://www.studio.example"]
locale = "de-AT"
default_service = "Contact form"
fields = {{ name = ["wer"] }}

[sites.shop]
form_key = "shop-4k7w9q2m"
origins = ["https://shop.example"]
thanks_url = "https://shop.example/thanks"
"""
FIELDS = {"wer": "Ada", "your-email": "ada@example.com", "Nachricht": "Hallo"}


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[Gateway]:
    file = tmp_path / "sites.toml"
    file.write_text(SITES)
    async with run_gateway(file, form_leads_per_site_per_hour=3) as gateway:
        yield gateway


async def submit(gateway: Gateway, data: Any = None, path: str = PATH, **headers: str) -> httpx.Response:
    """Post a form like a browser. Underscores in header names become dashes; an empty value omits one."""
    values = {"Accept": HTML, "Origin": ORIGIN, "Referer": PAGE} | {
        name.replace("_", "-"): value for name, value in headers.items()
    }
    return await gateway.client.post(
        path,
        data=FIELDS if data is None else data,
        headers={name: value for name, value in values.items() if value},
    )


def only_lead(gateway: Gateway) -> LeadReceived:
    (lead,) = gateway.leads.leads
    return lead


async def test_a_form_is_a_lead_with_its_campaign(gateway: Gateway) -> None:
    answer = await submit(gateway)
    assert (answer.status_code, answer.headers["Location"]) == (303, "studio-4k7w9q2m/thanks")
    lead = only_lead(gateway)
    assert (lead.site, lead.name, lead.email, lead.message) == ("studio", "Ada", "ada@example.com", "Hallo")
    assert (lead.service, lead.spam_reasons, lead.extra) == ("Contact form", (), {})
    assert lead.source
    assert (lead.source.page_url, lead.source.utm_source, lead.source.utm_campaign, lead.source.gclid) == (
        PAGE,
        "newsletter",
        "spring",
        "abc",
    )


async def test_hidden_fields_take_precedence_over_the_page_address(gateway: Gateway) -> None:
    await submit(gateway, FIELDS | {"utm_campaign": "autumn", "page_url": f"{ORIGIN}/other?utm_term=web"})
    source = only_lead(gateway).source
    assert source
    assert (source.page_url, source.utm_campaign, source.utm_term, source.utm_source) == (
        f"{ORIGIN}/other?utm_term=web",
        "autumn",
        "web",
        None,
    )


async def test_a_script_gets_json_and_cors_headers(gateway: Gateway) -> None:
    answer = await submit(gateway, Accept="application/json")
    assert answer.status_code == 201
    assert answer.json().keys() == {"leadId", "timestamp", "status"}
    assert answer.headers["Access-Control-Allow-Origin"] == ORIGIN
    assert answer.headers["X-Request-ID"]
    problem = expect_problem(await submit(gateway, {"email": ""}, Accept="*/*"), 422)
    assert {error["field"] for error in problem["errors"]} == {"email", "message"}
    assert problem["detail"] == "Bitte prüfen Sie Ihre Nachricht"
    assert "Bitte schreiben Sie eine Nachricht." in [error["message"] for error in problem["errors"]]


async def test_json_and_multipart_bodies_are_accepted(gateway: Gateway) -> None:
    body = {**FIELDS, "budget": 5000, "source": {"utm_source": "x"}, "meta": {"consent_version": "2"}}
    headers = {"Accept": "application/json", "Origin": ORIGIN}
    assert (await gateway.client.post(PATH, json=body, headers=headers)).status_code == 201
    files: Any = {"cv": ("cv.pdf", b"x" * 400_000), "none": ("", b"")}
    answer = await gateway.client.post(PATH, data=FIELDS, files=files, headers=headers)
    assert answer.status_code == 201, answer.text
    json_lead, form_lead = gateway.leads.leads
    assert json_lead.extra == {"budget": 5000}
    assert json_lead.source
    assert (json_lead.source.utm_source, json_lead.consent_version) == ("x", "2")
    assert form_lead.extra == {"cv": "cv.pdf (a file, which was not kept)"}
    assert form_lead.message == "Hallo"


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "https://shop.example"},
        {"Origin": "null", "Referer": ""},
        {"Origin": "", "Referer": ""},
        {"Origin": "", "Referer": "https://evil.example/?https://studio.example"},
        {"Origin": "http://studio.example"},
        {"Origin": "https://studio.example.evil.example"},
    ],
)
async def test_a_page_of_another_origin_is_refused(gateway: Gateway, headers: dict[str, str]) -> None:
    page = await submit(gateway, **headers)
    assert (page.status_code, page.headers["content-type"]) == (403, "text/html; charset=utf-8")
    assert "Dieses Formular kann von der vorherigen Seite nicht gesendet werden." in page.text
    assert '<a href="https://studio.example">Zurück zur Website</a>' in page.text
    assert "Studio Nord" in page.text
    problem = expect_problem(await submit(gateway, Accept="application/json", **headers), 403)
    assert problem["type"] == "urn:fastcore:problem:wrong-origin"
    assert gateway.leads.records == []


@pytest.mark.parametrize(("path", "status"), [(PATH, 403), ("/inbound/forms/unknown-key", 404)])
async def test_any_page_reads_why_its_form_is_refused(gateway: Gateway, path: str, status: int) -> None:
    origin = "http://localhost:5501"
    answer = await submit(gateway, path=path, Accept="application/json", Origin=origin)
    assert (answer.status_code, answer.headers["Access-Control-Allow-Origin"]) == (status, "*")


async def test_without_an_origin_the_referer_counts(gateway: Gateway) -> None:
    assert (await submit(gateway, Origin="null")).status_code == 303
    assert (await submit(gateway, Origin="", Referer=f"{ORIGIN}/x")).status_code == 303


async def test_an_unknown_form_key_is_refused(gateway: Gateway) -> None:
    page = await submit(gateway, path="/inbound/forms/unknown-key")
    assert (page.status_code, "This form does not exist any more." in page.text) == (404, True)
    expect_problem(await submit(gateway, path="/inbound/forms/unknown-key", Accept="*/*"), 404)


@pytest.mark.parametrize(
    ("wanted", "language", "text"),
    [
        ("de-AT,de;q=0.9,en;q=0.8", "de", "Dieses Formular gibt es nicht mehr."),
        ("ja, en;q=0.1, fr;q=0.5", "fr", "Ce formulaire n&#39;existe plus."),
        ("ja, de;q=0, fr;q=x", "en", "This form does not exist any more."),
    ],
)
async def test_an_unknown_form_key_has_a_page_in_the_visitor_s_language(
    gateway: Gateway, wanted: str, language: str, text: str
) -> None:
    page = await submit(gateway, path="/inbound/forms/unknown-key", Accept_Language=wanted)
    assert page.status_code == 404
    assert f'<html lang="{language}"' in page.text
    assert text in page.text


@pytest.mark.parametrize(
    ("wanted", "location"),
    [
        ("https://www.studio.example/danke", "https://www.studio.example/danke"),
        ("/danke?x=1", f"{ORIGIN}/danke?x=1"),
        ("https://evil.example/", "studio-4k7w9q2m/thanks"),
        ("//evil.example/", "studio-4k7w9q2m/thanks"),
        ("https://studio.example@evil.example/", "studio-4k7w9q2m/thanks"),
        ("https://studio.example\\@evil.example/", "studio-4k7w9q2m/thanks"),
        ("javascript:alert(1)", "studio-4k7w9q2m/thanks"),
    ],
)
async def test_a_visitor_is_only_sent_to_the_sites_own_pages(
    gateway: Gateway, wanted: str, location: str
) -> None:
    answer = await submit(gateway, FIELDS | {"_next": wanted})
    assert (answer.status_code, answer.headers["Location"]) == (303, location)
    assert only_lead(gateway).extra == {}


async def test_a_visitor_is_sent_to_the_thanks_page(gateway: Gateway) -> None:
    answer = await submit(gateway, path="/inbound/forms/shop-4k7w9q2m", Origin="https://shop.example")
    assert answer.headers["Location"] == "https://shop.example/thanks"
    page = await gateway.client.get(f"{PATH}/thanks")
    assert page.status_code == 200
    assert "<h1>Vielen Dank</h1>" in page.text
    assert '<html lang="de">' in page.text
    assert 'href="https://studio.example"' in page.text


async def test_the_thanks_page_of_an_unknown_form_key_is_a_page(gateway: Gateway) -> None:
    url = "/inbound/forms/unknown-key/thanks"
    page = await gateway.client.get(url, headers={"Accept": "text/html", "Accept-Language": "de"})
    assert page.status_code == 404
    assert "Dieses Formular gibt es nicht mehr." in page.text
    expect_problem(await gateway.client.get(url, headers={"Accept": "*/*"}), 404)


async def test_the_honeypot_makes_spam_that_is_thanked(gateway: Gateway) -> None:
    assert (await submit(gateway, FIELDS | {"_gotcha": "x"})).status_code == 303
    assert only_lead(gateway).spam_reasons == ("honeypot",)


async def test_more_leads_than_a_sites_limit_are_spam(gateway: Gateway) -> None:
    for number in range(5):
        assert (await submit(gateway, FIELDS | {"Nachricht": f"Hallo {number}"})).status_code == 303
    reasons = [lead.spam_reasons for lead in gateway.leads.leads]
    assert reasons == [(), (), (), ("rate_site",), ("rate_site",)]


async def test_an_error_keeps_what_was_typed_when_kafka_is_down(gateway: Gateway) -> None:
    gateway.leads.make_kafka_unavailable()
    page = await submit(gateway)
    assert (page.status_code, page.headers["Retry-After"]) == (503, "5")
    assert "Bitte versuchen Sie es noch einmal" in page.text
    for value in FIELDS.values():
        assert value in page.text
