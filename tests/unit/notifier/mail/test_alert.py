"""The alert: its actions, the consent in words, the campaign, and the person's other leads."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import pytest

from runtime.sites.file import parse_sites
from runtime.sites.reply import Reply
from services.notifier.mail.alert import NO_OTHER_LEADS, OtherLead, OtherLeads
from services.notifier.mail.identities import Identities
from services.notifier.mail.message import Identity, compose
from tests.support.factories import lead
from tests.support.mail.html import Document, part_of

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
IDENTITY = Identity(
    "hello@studio.example", "Studio Nord", ("team@studio.example",), "https://leads.example/admin/"
)


def alert(identity: Identity = IDENTITY, others: OtherLeads = NO_OTHER_LEADS, **changes: Any) -> bytes:
    return compose("admin_alert", lead(**changes), identity, NOW, others).content


def actions(content: bytes) -> dict[str, str]:
    """Return the URLs of the buttons by their text."""
    links = Document(part_of(content, "html")).all("a")
    return {each.text: each.attributes["href"] for each in links if "button-text" in each.classes}


def other(service: str | None = "Hosting", **changes: Any) -> OtherLead:
    return OtherLead(uuid4(), datetime(2025, 12, 1, 9, tzinfo=UTC), service, **changes)


def test_the_actions_are_to_reply_to_call_and_to_open_the_lead() -> None:
    asking = lead(email="ada@example.com", phone="+44 (0)20 7946 0000")
    content = compose("admin_alert", asking, IDENTITY, NOW).content
    reference = str(asking.lead_id)[-8:]
    url = f"https://leads.example/admin/leads/{asking.lead_id}"
    assert actions(content) == {
        "Reply": f"mailto:ada@example.com?subject=Re%3A%20Your%20request%20{reference}",
        "Call": "tel:+442079460000",
        "Open the lead": url,
    }
    text = part_of(content, "plain")
    assert f"Reply: ada@example.com\nCall: +442079460000\nOpen the lead: {url}\n" in text.replace(
        "\r\n", "\n"
    )


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"email": None, "phone": "020 7946 0000"}, ["Call", "Open the lead"]),
        ({"email": "nobody", "phone": None}, ["Open the lead"]),
        ({"email": "ada@example.com", "phone": "call me after two"}, ["Reply", "Open the lead"]),
    ],
)
def test_an_action_without_a_target_is_left_out(changes: dict[str, Any], expected: list[str]) -> None:
    content = alert(**changes)
    assert list(actions(content)) == expected
    for each in {"Reply", "Call"} - set(expected):
        assert f"\n{each}:" not in part_of(content, "plain")
    assert list(actions(alert(replace(IDENTITY, admin_url=""), **changes))) == expected[:-1]


def subject_of(content: bytes) -> str:
    (subject,) = parse_qs(urlsplit(actions(content)["Reply"]).query)["subject"]
    return subject


def test_the_subject_of_a_reply_is_in_the_language_of_the_lead() -> None:
    german_team = replace(IDENTITY, locale="it", alert_locale="en")
    assert subject_of(alert(german_team, locale="fr-CA")).startswith("Re: Votre demande ")
    assert subject_of(alert(german_team, locale="ja")).startswith("Re: La Sua richiesta ")


def test_a_reply_begins_with_the_template_of_the_site() -> None:
    template = Reply(subject="Your {{ service }}", body="Dear {{ name }},\n\n{{ site }}")
    site = replace(IDENTITY, reply=template, site_name="Studio")
    content = alert(site, name="Ada & Co\r\nBcc: eve@example.com", service="Web\ndesign")
    url = urlsplit(actions(content)["Reply"])
    assert parse_qs(url.query) == {
        "subject": ["Your Web design"],
        "body": ["Dear Ada & Co\r\nBcc: eve@example.com,\r\n\r\nStudio"],
    }


def test_the_identity_of_a_site_has_its_reply_template_and_name() -> None:
    sites = parse_sites(b"[sites.studio]\nname = 'Studio Nord'\nreply = { subject = 'About {{ service }}' }")
    content = alert(Identities(IDENTITY, sites).of("studio"), site="studio")
    assert subject_of(content) == "About Web design"
    for kind in ("plain", "html"):
        assert "03:04 UTC, site Studio Nord" in part_of(compose_at_now(sites), kind)


def compose_at_now(sites: Any) -> bytes:
    identity = Identities(IDENTITY, sites).of("studio")
    return compose("admin_alert", lead(site="studio", occurred_at=NOW), identity, NOW).content


@pytest.mark.parametrize(
    ("consent", "words"),
    [(True, "The visitor agreed"), (False, "The visitor did not agree"), (None, "not stated")],
)
def test_the_consent_is_said_in_words(consent: bool | None, words: str) -> None:
    content = alert(consent=consent, consent_text="Yes, write to me.", consent_version="2026-1")
    text = part_of(content, "plain")
    assert f"Consent: {words}\n" in text.replace("\r\n", "\n")
    assert "Text of the consent: Yes, write to me. (2026-1)" in text
    assert words in part_of(content, "html")


def test_the_origin_of_the_visit_has_readable_labels() -> None:
    source = {
        "utm_campaign": "spring",
        "utm_source": "google",
        "first_utm_source": "fair",
        "gclid": "EAI",
        "landing_page": "https://studio.example/",
        "cta": "top",
    }
    origin = part_of(alert(source=source), "plain").partition("Where the visitor came from:")[2]
    assert [line for line in origin.splitlines() if line][:6] == [
        "Campaign: spring",
        "Campaign source: google",
        "Landing page: https://studio.example/",
        "Campaign source (first visit): fair",
        "Click ID gclid: EAI",
        "Source cta: top",
    ]
    assert "Where the visitor came from" not in part_of(alert(), "html") + part_of(alert(), "plain")


def test_the_other_leads_of_the_person_are_listed_with_links() -> None:
    latest = (other(), other(None), other("Web\ndesign"))
    content = alert(others=OtherLeads(latest, 12))
    html, text = part_of(content, "html"), part_of(content, "plain")
    assert "Other leads of this person (12)" in html
    assert "Other leads of this person (12):" in text
    links = [each.attributes["href"] for each in Document(html).all("a")]
    for each in latest:
        url = f"https://leads.example/admin/leads/{each.lead_id}"
        assert url in links
        assert url in text
    assert f"1 December 2025, 09:00 UTC, Web design ({str(latest[2].lead_id)[-8:]})" in text


def test_a_person_without_other_leads_has_no_section() -> None:
    assert "Other leads" not in part_of(alert(), "html") + part_of(alert(), "plain")
    assert "(200+)" in part_of(alert(others=OtherLeads((other(),), 200, is_more=True)), "html")
    no_dashboard = alert(replace(IDENTITY, admin_url=""), others=OtherLeads((other(),), 1))
    assert "1 December 2025" in part_of(no_dashboard, "html")
    assert "/leads/" not in part_of(no_dashboard, "html")


def test_a_service_cannot_imitate_another_line() -> None:
    text = part_of(alert(others=OtherLeads((other("x\nReply: eve@example.com"),), 1)), "plain")
    assert not [line for line in text.splitlines() if line.startswith("Reply: eve")]


def test_the_actions_come_before_what_gmail_clips() -> None:
    long = {f"field {number}": "x" * 2000 for number in range(30)}
    html = part_of(alert(message="<\n" * 5000, extra=long, phone="+44 20 7946 0000"), "html")
    assert html.index("tel:+44") < 102 * 1024
