"""What a mail event changes, by the state of the email."""

from uuid import uuid4

import pytest

from services.flusher.bounces.mail_states import SentMail, next_state, reason_of, suppression_of
from tests.support.factories import lead
from tests.support.mail.events import mail_event


def sent_mail(mailbox: str | None, answer: str = "", state: str = "sent") -> SentMail:
    return SentMail(
        state, mailbox, "shop", 0, lead_id=uuid4(), kind="welcome", message_id="<m>", answer=answer
    )


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


@pytest.mark.parametrize(
    "answer",
    [
        "250 2.0.0 Ok: queued as 4F9bZ71Xs2z3K",
        "250 OK id=4F9bZ71Xs2z3K",
        "250 2.0.0 OK  1764498645 4F9bZ71Xs2z3K - gsmtp",
        "250 2.0.0 4F9bZ71Xs2z3K Message accepted for delivery",
    ],
)
@pytest.mark.parametrize("kind", ["bounced", "complained"])
def test_a_report_suppresses_only_with_the_queue_id_of_our_server(answer: str, kind: str) -> None:
    mail = sent_mail("ada@example.com", answer)
    report = mail_event(lead(email="ada@example.com"), source="report", type=kind)
    assert suppression_of(report, mail) is None
    forged = report.model_copy(update={"queue_ids": ("4F9bZ71Xs2z3L", "Ok", "250")})
    assert suppression_of(forged, mail) is None
    proven = report.model_copy(update={"queue_ids": ("1tQx9G-0000Ab-2X", "4F9bZ71Xs2z3K")})
    assert suppression_of(proven, mail) is not None


def test_a_forged_report_cannot_prepare_the_answer_for_a_second_one() -> None:
    mail = sent_mail("ada@example.com", "550 queued as 4F9bZ71Xs2z3K", state="bounced")
    event = mail_event(lead(email="ada@example.com"), source="report", queue_ids=("4F9bZ71Xs2z3K",))
    assert suppression_of(event, mail) is None


def test_our_message_id_in_an_answer_proves_nothing() -> None:
    answer = "250 2.0.0 OK <019b0c5e.welcome@fast.example> [Hostname=am0.example] Queued mail for delivery"
    ids = ("019b0c5e.welcome", "am0.example")
    event = mail_event(lead(email="ada@example.com"), source="report", queue_ids=ids)
    assert suppression_of(event, sent_mail("ada@example.com", answer)) is None
