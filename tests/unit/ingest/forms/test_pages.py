"""The pages that a visitor sees: languages, errors, and what was typed."""

import re
from base64 import b64encode
from hashlib import sha256

import pytest

from runtime.sites.file import parse_sites
from services.ingest.forms.body import FormBody
from services.ingest.forms.pages import form_page, thanks_page
from services.ingest.forms.texts import TEXTS, texts_for
from tests.support.services.gateway import Gateway
from tests.unit.ingest.forms.test_endpoint import FIELDS, PAGE, PATH, SITES, submit

SITE = parse_sites(SITES.encode()).get("studio")


def fields_of(page: str) -> dict[str, str]:
    """Return the values of the page's inputs and text areas by name, as a browser would send them."""
    inputs = re.findall(r'<input [^>]*name="([^"]*)"[^>]*value="([^"]*)"', page)
    texts = re.findall(r'<textarea [^>]*name="([^"]*)"[^>]*>\n?(.*?)</textarea>', page, re.DOTALL)
    return dict(inputs + texts)


async def test_a_mistake_keeps_everything_and_can_be_corrected(gateway: Gateway) -> None:
    typed = FIELDS | {"your-email": "ada@", "budget": "5 & more", "_next": "/danke", "utm_term": "web"}
    page = await submit(gateway, typed)
    assert (page.status_code, gateway.leads.records) == (422, [])
    assert "Bitte geben Sie eine E-Mail-Adresse wie name@example.com ein." in page.text
    sent_again = fields_of(page.text.replace("&amp;", "&"))
    assert sent_again == typed | {"page_url": PAGE, "_next": "https://studio.example/danke"}
    sent_again["your-email"] = "ada@example.com"
    own_page = {"Origin": "http://gateway", "Referer": f"http://gateway{PATH}"}
    answer = await submit(gateway, sent_again, **own_page)
    assert (answer.status_code, answer.headers["Location"]) == (303, "https://studio.example/danke")
    (lead,) = gateway.leads.leads
    assert lead.extra == {"budget": "5 & more"}
    assert lead.source
    assert (lead.source.page_url, lead.source.utm_campaign, lead.source.utm_term) == (PAGE, "spring", "web")


async def test_a_missing_address_is_requested(gateway: Gateway) -> None:
    page = (await submit(gateway, {"Nachricht": "Hallo"})).text
    assert "Bitte geben Sie Ihre E-Mail-Adresse oder Telefonnummer an" in page
    assert re.search(r'<input id="field-email" name="email" type="email" value=""[^>]*aria-invalid', page)
    assert '<a href="#field-email">' in page


async def test_what_was_typed_is_never_markup(gateway: Gateway) -> None:
    page = (await submit(gateway, {"<script>": '"><script>alert(1)</script>', "email": "x"})).text
    assert "<script" not in page
    assert "&lt;script&gt;" in page


async def test_the_pages_need_no_script_and_allow_none(gateway: Gateway) -> None:
    answer = await submit(gateway, {"Nachricht": "Hallo"})
    policy = answer.headers["Content-Security-Policy"]
    (style,) = re.findall(r"<style>(.*?)</style>", answer.text, re.DOTALL)
    digest = b64encode(sha256(style.encode()).digest()).decode()
    assert policy.startswith(f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'")
    assert "form-action 'self' https://studio.example https://www.studio.example" in policy
    assert answer.headers["Referrer-Policy"] == "same-origin"


@pytest.mark.parametrize("language", TEXTS)
def test_each_language_has_every_page(language: str) -> None:
    site = SITE.model_copy(update={"locale": f"{language}-XX"})
    assert f'<html lang="{language}">' in bytes(thanks_page(site).body).decode()
    page = bytes(form_page(site, 422, FormBody({}), ["email", "message"]).body).decode()
    for text in (TEXTS[language].email_missing, TEXTS[language].message_missing, TEXTS[language].send):
        assert text in page.replace("&#39;", "'")


def test_other_languages_get_english() -> None:
    assert texts_for("pl") == texts_for(None) == ("en", TEXTS["en"])


def test_a_long_text_is_shown_in_a_text_area() -> None:
    page = bytes(form_page(SITE, 422, FormBody({"Idee": "a\nb"}), ["email"]).body).decode()
    assert re.search(r'<textarea [^>]*name="Idee"[^>]*>\na\nb</textarea>', page)


def test_fields_have_different_labels_in_the_sites_language() -> None:
    fields = {"your-name": "Ada", "tel": "1", "Nachricht": "x", "comments": "y", "Budget_in_EUR": "5"}
    page = bytes(form_page(SITE, 422, FormBody({**fields}), ["email"]).body).decode()
    labels = re.findall(r"<label [^>]*>(.*?)</label>", page)
    assert labels == ["Name", "Telefon", "Nachricht", "comments", "Budget in EUR", "E-Mail"]
