"""The Reply-To of the mails: Reply on an alert answers the lead, on a welcome the site."""

import email
import email.policy
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.failures import Kind
from services.notifier.mail.message import Identity, compose
from services.notifier.mail.reply_to import reply_to_header
from tests.support.factories import lead

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
IDENTITY = Identity("hello@fast.example", "FAST", ("boss@fast.example",))
ADDRESS = "ada@example.com"


def header_lines(kind: Kind, identity: Identity = IDENTITY, **changes: Any) -> list[bytes]:
    """The raw lines of the mail's header Reply-To."""
    content = compose(kind, lead(**{"email": ADDRESS, **changes}), identity, NOW).content
    lines = content.partition(b"\r\n\r\n")[0].split(b"\r\n")
    return [line for line in lines if line.lower().startswith(b"reply-to:")]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Ada Lovelace", b"Ada Lovelace <ada@example.com>"),
        ("O'Neil & Sons", b"O'Neil & Sons <ada@example.com>"),
        ("Dr. J. R. Tolkien", b'"Dr. J. R. Tolkien" <ada@example.com>'),
        ('Lovelace, Ada "the" <first>', b'"Lovelace, Ada \\"the\\" <first>" <ada@example.com>'),
        ("Back\\slash", b'"Back\\\\slash" <ada@example.com>'),
        ("Zoë Straße", b"=?utf-8?b?Wm/DqyBTdHJhw59l?= <ada@example.com>"),
        ("Ada\r\nBcc: x", b'"Ada Bcc: x" <ada@example.com>'),
        ("\u202eevil", b"evil <ada@example.com>"),
        # They could pass for another address, or decode to a line break.
        ("boss@fast.example", b"ada@example.com"),
        ("boss\uff20fast.example", b"ada@example.com"),
        ("boss\ufe6bfast.example", b"ada@example.com"),
        ("=?UTF-8?Q?=0A?=Bcc", b"ada@example.com"),
        ("", b"ada@example.com"),
        (None, b"ada@example.com"),
        ("\u200b", b"ada@example.com"),
    ],
)
def test_the_alerts_reply_to_is_the_lead(name: str | None, value: bytes) -> None:
    assert header_lines("admin_alert", name=name) == [b"Reply-To: " + value]


@pytest.mark.parametrize(
    "address", [None, "ada", "ada@example.com, eve@example.com", "Ada <ada@example.com>"]
)
def test_an_alert_without_a_valid_address_has_no_reply_to(address: str | None) -> None:
    assert header_lines("admin_alert", email=address, phone="+49 30 1") == []


def test_an_address_that_needs_smtputf8_makes_no_alert_need_it() -> None:
    made = compose("admin_alert", lead(email="ädä@example.com"), IDENTITY, NOW)
    assert not made.smtputf8
    assert header_lines("admin_alert", email="ädä@example.com") == []
    utf8 = replace(IDENTITY, admins=("bß@fast.example",))
    assert header_lines("admin_alert", utf8, email="ädä@example.com", name="Ada") == [
        "Reply-To: Ada <ädä@example.com>".encode()
    ]


def test_the_welcomes_reply_to_is_the_site() -> None:
    assert header_lines("welcome") == []
    site = replace(IDENTITY, reply_to="office@studio.example")
    assert header_lines("welcome", site) == [b"Reply-To: office@studio.example"]
    assert header_lines("admin_alert", site, name="Ada") == [b"Reply-To: Ada <ada@example.com>"]


def test_a_welcome_offers_a_reply_only_if_somebody_reads_it() -> None:
    offer = b"simply reply to this email"
    assert compose("welcome", lead(), IDENTITY, NOW).content.count(offer) == 0
    site = replace(IDENTITY, reply_to="office@studio.example")
    assert compose("welcome", lead(), site, NOW).content.count(offer) == 2


def test_the_welcome_promises_no_time_of_an_answer() -> None:
    content = compose("welcome", lead(), IDENTITY, NOW).content
    for promise in (b"working day", b"hours", b"usually", b"every message"):
        assert promise not in content


@given(st.text(max_size=200))
def test_every_name_is_read_as_one_mailbox_of_the_lead(name: str) -> None:
    value = reply_to_header(name, ADDRESS, utf8=False)
    assert value.isascii()
    assert value.isprintable()
    parsed = email.message_from_string(f"Reply-To: {value}\n\n", policy=email.policy.default)
    (mailbox,) = parsed["Reply-To"].addresses
    assert mailbox.addr_spec == ADDRESS
    assert not parsed["Reply-To"].defects
    assert all(len(word) <= 75 for word in value.split() if word.startswith("=?"))
