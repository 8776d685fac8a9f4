"""Naming emails, and telling an address that is at fault from other refusals."""

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from contracts.mail_events import (
    MailEvent,
    is_hard_bounce,
    mail_event_id,
    mail_fields,
    mail_named_in,
    mail_tag,
    status_in,
)
from services.notifier.mail.message import message_id
from tests.support.factories import lead
from tests.support.mail.events import mail_event

ID = UUID("019b0c5e-9d3a-7c41-8f0e-2a6b4c8d0e1f")


@pytest.mark.parametrize("kind", ["welcome", "admin_alert"])
@pytest.mark.parametrize("shape", ["{}", " {} ", "{}, <other@relay.example>", "References: <x@y>\r\n {}"])
def test_our_message_id_is_found_in_any_text(kind: str, shape: str) -> None:
    one = lead()
    made = message_id(one.lead_id, kind, "hello@fast.example")
    assert mail_named_in(shape.format(made)) == (one.lead_id, kind)
    assert mail_named_in(shape.format(mail_tag(one.lead_id, kind))) == (one.lead_id, kind)


@pytest.mark.parametrize("kind", ["alert_digest", "held_digest"])
def test_the_message_id_of_a_digest_names_the_digest(kind: str) -> None:
    assert mail_named_in(message_id(ID, kind, "hello@fast.example")) == (ID, kind)
    assert mail_fields(ID, kind) == {"kind": kind, "digest_id": ID}  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "names",
    [{"kind": "welcome", "digest_id": ID}, {"kind": "alert_digest", "lead_id": ID}, {"kind": "welcome"}],
)
def test_an_event_names_its_lead_or_its_digest(names: dict[str, object]) -> None:
    fields = mail_event(lead()).model_dump(exclude={"kind", "lead_id", "digest_id"})
    with pytest.raises(ValidationError):
        MailEvent.model_validate(fields | names)


@pytest.mark.parametrize("text", ["", "<welcome@fast.example>", str(ID), f"{ID}.welcomes", None, 7, {}])
def test_another_id_names_no_email(text: object) -> None:
    assert mail_named_in(text) is None
    assert mail_named_in(f"x{ID}.welcome") is None


@given(st.text(), st.text())
def test_the_id_of_an_event_depends_on_each_part(one: str, other: str) -> None:
    assert mail_event_id("ses", one, other) == mail_event_id("ses", one, other)
    assert mail_event_id("ses", one) != mail_event_id("report", one)


@pytest.mark.parametrize(
    ("text", "code", "enhanced"),
    [
        ("smtp; 550 5.1.1 <a@example.com> unknown", 550, "5.1.1"),
        ("550-5.7.26 not authenticated", 550, "5.7.26"),
        ("host mx.example[192.0.2.7] said: 554 Denied", 554, None),
        ("5.4.7 expired after 3 days", None, "5.4.7"),
        ("connection timed out", None, None),
    ],
)
def test_code_and_status_are_read_from_a_servers_text(
    text: str, code: int | None, enhanced: str | None
) -> None:
    assert status_in(text) == (code, enhanced)


@pytest.mark.parametrize(
    ("code", "enhanced", "hard"),
    [
        (550, "5.1.1", True),
        (None, "5.1.10", True),
        (None, "5.2.1", True),
        (550, None, True),
        (550, "5.0.0", True),
        (550, "5.7.1", False),
        (552, "5.2.2", False),
        (554, None, False),
        (None, "4.4.7", False),
        (None, None, False),
    ],
)
def test_only_the_address_itself_makes_a_bounce_hard(
    code: int | None, enhanced: str | None, hard: bool
) -> None:
    assert is_hard_bounce(code, enhanced) is hard
