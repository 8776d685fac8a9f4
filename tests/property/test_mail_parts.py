"""The plain text of an email has the words of its HTML, whatever a lead contains, in every language."""

import re
from collections import Counter
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from contracts.leads import LeadReceived
from contracts.visit import Source
from services.notifier.deliveries import KINDS
from services.notifier.mail.alert import OtherLead, OtherLeads
from services.notifier.mail.alert_digest import AlertDigest, ListedLead, compose_alert_digest
from services.notifier.mail.held_digest import HeldDigest, HeldLead, compose_held_digest
from services.notifier.mail.languages import LANGUAGES
from services.notifier.mail.message import Identity, UndeliverableError, compose
from tests.support.mail.html import Document, part_of

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
ID = UUID("019b0c5e-9d3a-7c41-8f0e-2a6b4c8d0e1f")
# Words that the two parts could write differently: markup, quotes, entities, directions, links.
TEXTS = st.text(max_size=40) | st.sampled_from(
    [
        "<b>x</b> & y",
        "&amp; &nbsp;",
        "a\n> b\r\nc",
        "-- \nd",
        "\u05e9\u05dc\u05d5\u05dd 1",
        "{{ name }}",
        "https://e.example/?a=1&b=2",
    ]
)
OPTIONAL = st.none() | TEXTS
LEADS = st.fixed_dictionaries(
    {
        "name": OPTIONAL,
        "email": st.sampled_from([None, "ada@example.com", "nobody"]),
        "phone": st.sampled_from([None, "+44 20 7946 0000", "after two"]),
        "company": OPTIONAL,
        "service": TEXTS,
        "message": TEXTS,
        "consent": st.none() | st.booleans(),
        "consent_text": OPTIONAL,
        "locale": st.sampled_from([None, *LANGUAGES]),
        "source": st.none()
        | st.dictionaries(st.sampled_from([*Source.model_fields, "cta"]), TEXTS, max_size=6),
        "extra": st.dictionaries(st.text(min_size=1, max_size=10), TEXTS, max_size=4),
    }
)
OTHERS = st.lists(OPTIONAL, max_size=3).map(
    lambda services: OtherLeads(tuple(OtherLead(ID, NOW, each) for each in services), len(services))
)
URLS = st.sampled_from(["", "https://leads.example/admin"])


def identity(code: str, admin_url: str) -> Identity:
    return Identity(
        "hello@studio.example",
        "Studio & Co",
        ("team@studio.example",),
        admin_url,
        (),
        "office@studio.example",
        code,
    )


def words(text: str) -> Counter[str]:
    """Return how often each word occurs. Quoting and punctuation at its ends are not part of a word."""
    stripped = (re.sub(r"^[\W_]+|[\W_]+$", "", each) for each in text.split())
    return Counter(each for each in stripped if each)


def words_of_html(html: str) -> Counter[str]:
    """Return the words of the HTML, with the target of each link that does not show its own target."""
    document = Document(html)
    found = words(document.text)
    for link in document.all("a"):
        target = (
            link.attributes["href"].removeprefix("mailto:").removeprefix("tel:").partition("?subject=")[0]
        )
        if target not in link.text:
            found += words(target)
    return found


def assert_same_words(content: bytes) -> None:
    assert words(part_of(content, "plain")) == words_of_html(part_of(content, "html"))


@given(code=st.sampled_from(LANGUAGES), fields=LEADS, others=OTHERS, admin_url=URLS)
def test_both_parts_of_a_mail_about_a_lead_have_the_same_words(
    code: str, fields: dict[str, Any], others: OtherLeads, admin_url: str
) -> None:
    asking = LeadReceived.model_validate(
        {
            "event_id": ID,
            "occurred_at": NOW,
            "lead_id": ID,
            "request_id": "r",
            "site": "studio",
            "body_sha256": "0" * 64,
        }
        | fields
    )
    for kind in KINDS:
        try:
            content = compose(kind, asking, identity(code, admin_url), NOW, others).content
        except UndeliverableError:
            assert kind == "welcome"
        else:
            assert_same_words(content)


@given(
    code=st.sampled_from(LANGUAGES),
    typed=st.lists(st.tuples(TEXTS, TEXTS, TEXTS, TEXTS), max_size=4),
    admin_url=URLS,
    parts=st.integers(1, 3),
)
def test_both_parts_of_a_list_of_new_leads_have_the_same_words(
    code: str, typed: list[tuple[str, str, str, str]], admin_url: str, parts: int
) -> None:
    leads = tuple(ListedLead(ID, NOW, *texts) for texts in typed)
    digest = AlertDigest(ID, "studio", ("team@studio.example",), leads, 1, parts)
    assert_same_words(compose_alert_digest(digest, identity(code, admin_url), NOW).content)


@given(
    code=st.sampled_from(LANGUAGES),
    typed=st.lists(st.tuples(OPTIONAL, TEXTS, TEXTS, st.booleans()), max_size=4),
    admin_url=URLS,
    more=st.integers(0, 3),
)
def test_both_parts_of_a_list_of_held_leads_have_the_same_words(
    code: str, typed: list[tuple[str | None, str, str, bool]], admin_url: str, more: int
) -> None:
    leads = tuple(
        HeldLead(ID, NOW, name, contact, message, released) for name, contact, message, released in typed
    )
    digest = HeldDigest(ID, "studio", leads, len(leads) + more)
    assert_same_words(compose_held_digest(digest, identity(code, admin_url), NOW).content)
