"""The email about held leads: every lead in one line, nothing that a visitor typed in a header."""

import email
import email.policy
from datetime import UTC, datetime
from email.message import EmailMessage
from uuid import UUID, uuid4

import pytest

from runtime.sites.file import parse_sites
from services.notifier.mail.held_digest import HeldDigest, HeldLead, compose_held_digest
from services.notifier.mail.identities import Identities
from services.notifier.mail.message import Identity, UndeliverableError

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
IDENTITY = Identity("hello@fast.example", "FAST", ("boss@fast.example",), "https://x.example/admin/")
LEAD = UUID("0190163d-8694-739b-aea5-966c26f8ad91")


def held(name: str | None = "Ada", message: str = "Hello") -> HeldLead:
    return HeldLead(LEAD, NOW, name, "ada@example.com", message)


def compose(*leads: HeldLead, total: int = 0, identity: Identity = IDENTITY) -> EmailMessage:
    digest = HeldDigest(uuid4(), "studio", leads, total or len(leads))
    read = email.message_from_bytes(
        compose_held_digest(digest, identity, NOW).content, policy=email.policy.default
    )
    assert isinstance(read, EmailMessage)
    return read


def texts(message: EmailMessage) -> list[str]:
    parts = [message.get_body((kind,)) for kind in ("plain", "html")]
    return [str(part.get_content()) for part in parts if part]


def test_the_digest_lists_each_lead_with_a_link() -> None:
    message = compose(held(), held("Grace", "Line one\nline two"))
    assert (message["Subject"], message["To"]) == ("2 held leads to check: studio", "boss@fast.example")
    for text in texts(message):
        for part in ("Ada", "Grace", "ada@example.com", "Line one line two", "studio", "26f8ad91"):
            assert part in text
        assert f"https://x.example/admin/leads/{LEAD}" in text
        assert "https://x.example/admin/ui/held" in text


def test_the_digest_has_the_display_name_of_the_site() -> None:
    sites = parse_sites(b'[sites.studio]\nname = "Studio Nord"\n[sites.plain]')
    message = compose(held(), identity=Identities(IDENTITY, sites).of("studio"))
    assert message["Subject"] == "1 held lead to check: Studio Nord"
    assert all("Site Studio Nord" in text for text in texts(message))
    assert compose(held(), identity=Identities(IDENTITY, sites).of("plain"))["Subject"].endswith(": studio")


def test_leads_beyond_the_listed_ones_are_counted() -> None:
    assert all("Not listed here: 41." in text for text in texts(compose(held(), total=42)))


def test_a_visitor_cannot_write_another_line_or_markup() -> None:
    plain, html = texts(compose(held("Eve\r\n\r\nBcc: x", "<b>hi</b>\n" * 900)))
    assert "Eve Bcc: x" in plain
    assert "<b>" not in html
    assert max(map(len, plain.splitlines())) < 400


def test_a_digest_without_a_dashboard_or_a_name_has_no_link() -> None:
    message = compose(held(None), identity=Identity("hello@fast.example", "FAST", ("boss@fast.example",)))
    plain, html = texts(message)
    assert "Website visitor" in plain
    assert "http" not in plain
    assert "<a " not in html


def test_no_valid_recipient_is_an_error() -> None:
    with pytest.raises(UndeliverableError):
        compose(held(), identity=Identity("hello@fast.example", "FAST", ("nobody",)))
