"""The languages of emails: complete catalogues, the choice by locale, dates and numbers."""

import re
from datetime import UTC, datetime
from typing import Any

import pytest
from babel.messages.catalog import Catalog, Message
from babel.messages.pofile import read_po

from contracts.visit import Source
from deploy.generate.texts import mail_catalogue
from services.notifier.mail.answers import labelled_fields
from services.notifier.mail.languages import CATALOGUES, LANGUAGES, find_language
from services.notifier.mail.message import Identity, compose
from services.notifier.mail.samples import sample_lead
from tests.support.factories import lead

TRANSLATED = [code for code in LANGUAGES if code != "en"]
# The name would need an inflected form of address.
WITHOUT_NAME = {("pl", "Thank you, %(name)s")}
NOW = datetime(2026, 1, 2, 15, 4, 5, tzinfo=UTC)


def catalogue(code: str) -> Catalog:
    with (CATALOGUES / code / "LC_MESSAGES" / "mail.po").open("rb") as file:
        return read_po(file, locale=code)


def forms(message: Message) -> list[str]:
    return list(message.string) if isinstance(message.string, tuple | list) else [message.string or ""]


def placeholders(text: str) -> set[str]:
    return set(re.findall(r"%\((\w+)\)s", text))


def test_the_eight_languages_have_catalogues() -> None:
    assert LANGUAGES == ("en", "de", "fr", "es", "it", "nl", "pl", "pt")
    assert {path.name for path in CATALOGUES.iterdir() if path.is_dir()} == set(TRANSLATED)


@pytest.mark.parametrize("code", TRANSLATED)
def test_every_text_of_the_emails_is_translated(code: str) -> None:
    texts = {message.id: message for message in mail_catalogue() if message.id}
    translated = {message.id: message for message in catalogue(code) if message.id}
    assert set(translated) == set(texts)
    for message in translated.values():
        assert not message.fuzzy
        assert all(form.strip() for form in forms(message)), message.id
        plural = isinstance(message.id, tuple | list)
        assert len(forms(message)) == (catalogue(code).num_plurals if plural else 1)


@pytest.mark.parametrize("code", TRANSLATED)
def test_every_translation_has_the_values_of_its_text(code: str) -> None:
    for message in catalogue(code):
        text = message.id[0] if isinstance(message.id, tuple | list) else message.id
        for form in forms(message) if text else []:
            expected = set() if (code, text) in WITHOUT_NAME else placeholders(str(text))
            assert placeholders(form) == expected, text
            assert "<" not in form


@pytest.mark.parametrize("code", LANGUAGES)
def test_no_label_hides_another_field(code: str) -> None:
    asking = sample_lead("studio", code)
    assert asking.source is not None
    filled = [name for name in Source.model_fields if getattr(asking.source, name)]
    # Name, email, phone, company, service, consent with its text, language and one unknown field.
    assert len(labelled_fields(asking, find_language(code)).all) == 8 + len(filled) + 1


@pytest.mark.parametrize(
    ("tags", "code", "locale"),
    [
        ((), "en", "en_GB"),
        ((None, ""), "en", "en_GB"),
        (("de",), "de", "de_DE"),
        (("DE_at",), "de", "de_AT"),
        (("de-Latn-CH",), "de", "de_CH"),
        (("en-US",), "en", "en_US"),
        (("pt-BR",), "pt", "pt_BR"),
        (("fr-XX",), "fr", "fr_FR"),
        (("xx", "nl"), "nl", "nl_NL"),
        (("ja-JP", None), "en", "en_GB"),
        (("d" * 10_000, "pl"), "pl", "pl_PL"),
        (("../../de", "it"), "it", "it_IT"),
    ],
)
def test_the_first_supported_locale_is_the_language(tags: Any, code: str, locale: str) -> None:
    found = find_language(*tags)
    assert (found.code, str(found.locale)) == (code, locale)


@pytest.mark.parametrize(
    ("tag", "time", "number"),
    [
        ("en", "2 January 2026, 15:04 UTC", "1,234"),
        ("en-US", "January 2, 2026, 3:04\u202fPM UTC", "1,234"),
        ("de", "2. Januar 2026, 15:04 UTC", "1.234"),
        ("pl", "2 stycznia 2026, 15:04 UTC", "1\xa0234"),
    ],
)
def test_dates_and_numbers_have_the_format_of_the_locale(tag: str, time: str, number: str) -> None:
    language = find_language(tag)
    assert (language.time(NOW), language.number(1234)) == (time, number)


def subject_of(kind: Any, lead_locale: str | None, locale: str = "", alert_locale: str = "") -> str:
    identity = Identity(
        "hello@fast.example", "FAST", ("boss@fast.example",), locale=locale, alert_locale=alert_locale
    )
    content = compose(kind, lead(locale=lead_locale), identity, NOW).content
    return content.partition(b"Subject: ")[2].partition(b"\r\n")[0].decode()


def test_the_lead_gets_its_own_language_the_team_that_of_the_site() -> None:
    assert subject_of("welcome", "it-CH", locale="de") == "Grazie per aver contattato FAST"
    assert subject_of("welcome", "ja", locale="es") == "Gracias por contactar con FAST"
    assert subject_of("welcome", None) == "Thank you for contacting FAST"
    assert subject_of("admin_alert", "it", locale="de").startswith("Neue Anfrage ")
    assert subject_of("admin_alert", "it", locale="de", alert_locale="nl").startswith("Nieuwe aanvraag ")
    assert subject_of("admin_alert", "it").startswith("New lead ")
