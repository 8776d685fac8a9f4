"""The list of new leads: each lead once in both parts, no Reply-To, no header with what a visitor typed."""

import email
import email.policy
from datetime import UTC, datetime
from email.message import EmailMessage
from uuid import UUID, uuid4

import pytest

from contracts.field_types import LINE_MAX
from services.notifier.mail.alert_digest import LISTED_MAX, AlertDigest, ListedLead, compose_alert_digest
from services.notifier.mail.message import Identity, UndeliverableError
from services.notifier.mail.samples import sample_listed_lead

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
IDENTITY = Identity("hello@fast.example", "FAST", ("boss@fast.example",), "https://x.example/admin/")
GMAIL_CLIPS_AT = 102 * 1024


def listed(name: str = "Ada", message: str = "Hello") -> ListedLead:
    return ListedLead(uuid4(), NOW, name, "ada@example.com", "Hosting", message)


def compose(*leads: ListedLead, part: int = 1, parts: int = 1, identity: Identity = IDENTITY) -> EmailMessage:
    digest = AlertDigest(UUID(int=1), "studio", identity.admins, leads, part, parts)
    read = email.message_from_bytes(
        compose_alert_digest(digest, identity, NOW).content, policy=email.policy.default
    )
    assert isinstance(read, EmailMessage)
    return read


def texts(message: EmailMessage) -> list[str]:
    parts = [message.get_body((kind,)) for kind in ("plain", "html")]
    return [str(part.get_content()) for part in parts if part]


def test_both_parts_list_each_lead_with_its_message_and_a_link() -> None:
    leads = [listed(), listed("Grace", "\n\nLine one\nline two")]
    message = compose(*leads)
    assert message["Subject"] == "2 new leads: studio"
    assert message["Reply-To"] is None
    assert message["Message-ID"] == f"<{UUID(int=1)}.alert_digest@fast.example>"
    for text in texts(message):
        for part in (
            "Ada",
            "Grace",
            "ada@example.com",
            "Hosting",
            "Line one line two",
            "2 January 2026, 03:04 UTC",
        ):
            assert part in text
        for each in leads:
            assert text.count(f"https://x.example/admin/leads/{each.lead_id}") == 1


def test_a_part_of_a_long_list_says_so() -> None:
    message = compose(listed(), part=2, parts=3)
    assert message["Subject"] == "1 new lead: studio (2/3)"
    assert all("part 2 of 3" in text for text in texts(message))


def test_what_a_visitor_typed_is_escaped_and_in_no_header() -> None:
    message = compose(listed("<b>\r\nBcc: v@x.example", "<script>"))
    assert message["Bcc"] is None
    _, html = texts(message)
    assert "<script>" not in html
    assert "<b>" not in html


def test_a_full_list_is_not_cut_off_by_gmail() -> None:
    message = compose(*(sample_listed_lead("studio", uuid4(), NOW) for _ in range(LISTED_MAX)))
    assert len(texts(message)[1].encode()) < GMAIL_CLIPS_AT


def test_long_values_are_shortened() -> None:
    message = compose(listed("x" * LINE_MAX, "y" * 10_000))
    assert all("x" * 121 not in text and "y" * 121 not in text for text in texts(message))


def test_without_a_valid_recipient_it_can_never_be_sent() -> None:
    digest = AlertDigest(UUID(int=1), "studio", ("no address",), (listed(),))
    with pytest.raises(UndeliverableError):
        compose_alert_digest(digest, IDENTITY, NOW)
