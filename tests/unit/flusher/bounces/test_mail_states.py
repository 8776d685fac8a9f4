"""What a mail event changes, by the state of the email."""

from uuid import uuid4

import pytest

from services.flusher.bounces.mail_states import SentMail, next_state, reason_of, suppression_of
from tests.support.factories import lead
from tests.support.mail.events import mail_event


def sent_mail(mailbox: str | None) -> SentMail:
    return SentMail("sent", mailbox, "shop", 0, lead_id=uuid4(), kind="welcome", message_id="<m>")


@pytest.mark.parametrize("event", ["bounced", "complained"])
@pytest.mark.parametrize("state", ["sent", "unknown", "waiting", "sending"])
def test_an_email_that_may_have_been_accepted_gets_the_state_of_the_event(state: str, event: str) -> None:
    assert next_state(state, event) == event  # type: ignore[arg-type]


@pytest.mark.parametrize("state", ["reserved", "dead", "suppressed", "complained"])
def test_other_states_stay(state: str) -> None:
    assert next_state(state, "bounced") is None
    assert next_state(state, "complained") is None


def test_a_complaint_is_stronger_than_a_bounce() -> None:
    assert next_state("bounced", "complained") == "complained"
    assert next_state("bounced", "bounced") is None


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({}, "bounced with 5.1.1"),
        ({"enhanced": None}, "bounced"),
        ({"enhanced": "2.0.0"}, "bounced"),
        ({"type": "complained"}, "reported as spam"),
    ],
)
def test_the_reason_has_only_the_status(changes: dict[str, object], reason: str) -> None:
    assert reason_of(mail_event(lead(), **changes)) == reason


@pytest.mark.parametrize(
    ("changes", "suppressed"),
    [
        ({}, ("ada@example.com", None, "bounced")),
        ({"recipient": None}, ("ada@example.com", None, "bounced")),
        ({"hard": False}, None),
        ({"hard": False, "type": "complained"}, ("ada@example.com", "shop", "complained")),
        ({"recipient": "other@example.com"}, None),
        ({"kind": "admin_alert"}, None),
    ],
)
def test_only_a_visitors_own_address_is_suppressed(changes: dict[str, object], suppressed: object) -> None:
    event = mail_event(lead(email="Ada+x@example.com"), **changes)
    assert suppression_of(event, sent_mail("ada@example.com")) == suppressed
    assert suppression_of(event, sent_mail(None)) is None
