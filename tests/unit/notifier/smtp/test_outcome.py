"""The outcome of each reply and phase, as a table."""

import pytest

from contracts.reasons import Reason
from services.notifier.smtp.outcome import (
    MailOutcome,
    MailStatus,
    Phase,
    enhanced_status,
    outcome_of_rejected_recipients,
    outcome_of_reply,
    outcome_without_reply,
)

UNAVAILABLE, THROTTLED, WAITING, DEAD, SENT, UNKNOWN = (
    MailStatus.UNAVAILABLE,
    MailStatus.THROTTLED,
    MailStatus.WAITING,
    MailStatus.DEAD,
    MailStatus.SENT,
    MailStatus.UNKNOWN,
)
PHASES_UP_TO_MAIL = (Phase.CONNECT, Phase.EHLO, Phase.LOGIN, Phase.MAIL)
PHASES_FROM_RCPT = (Phase.RCPT, Phase.DATA, Phase.BODY)


@pytest.mark.parametrize("phase", PHASES_UP_TO_MAIL)
@pytest.mark.parametrize(
    "line",
    ["421 busy", "450 4.7.1 later", "535 5.7.8 bad login", "550 5.1.8 bad sender", "554 no", "-1 what?"],
)
def test_up_to_mail_every_refusal_means_unavailable(phase: Phase, line: str) -> None:
    code, text = line.split(" ", 1)
    assert outcome_of_reply(phase, int(code), text).status is UNAVAILABLE


@pytest.mark.parametrize("phase", PHASES_FROM_RCPT)
@pytest.mark.parametrize(
    ("code", "text", "status"),
    [
        (421, "try again later", UNAVAILABLE),
        (421, "4.2.1 mailbox busy", UNAVAILABLE),
        (450, "4.2.0 greylisted", WAITING),
        (450, "4.2.2 mailbox full", WAITING),
        (451, "no enhanced status", WAITING),
        (451, "4.3.0 server trouble", UNAVAILABLE),
        (452, "4.3.1 no space", UNAVAILABLE),
        (451, "4.4.1 no route", UNAVAILABLE),
        (450, "4.7.1 greylisted", WAITING),
        (454, "4.7.0 temporary authentication failure", UNAVAILABLE),
        (450, "4.7.28 rate limited", THROTTLED),
        (450, "4.7.2 not these", WAITING),
        (550, "5.4.5 daily quota exceeded", THROTTLED),
        (550, "5.4.4 no such host", DEAD),
        (550, "5.1.1 no such user", DEAD),
        (550, "no enhanced status", DEAD),
        (554, "5.7.1 looks like spam", DEAD),
        (552, "5.3.4 too big", DEAD),
    ],
)
def test_from_rcpt_on_the_code_decides_the_status(
    phase: Phase, code: int, text: str, status: MailStatus
) -> None:
    assert outcome_of_reply(phase, code, text).status is status


@pytest.mark.parametrize("code", [250, 251])
def test_only_a_positive_reply_to_the_body_means_sent(code: int) -> None:
    assert outcome_of_reply(Phase.BODY, code, "2.0.0 queued as 1A2B").status is SENT


@pytest.mark.parametrize("code", [-1, 354, 199])
def test_an_invalid_reply_means_unknown_only_after_the_body(code: int) -> None:
    assert outcome_of_reply(Phase.RCPT, code, "?").status is UNAVAILABLE
    assert outcome_of_reply(Phase.DATA, code, "?").status is UNAVAILABLE
    assert outcome_of_reply(Phase.BODY, code, "?").status is UNKNOWN


@pytest.mark.parametrize("phase", [*PHASES_UP_TO_MAIL, Phase.RCPT, Phase.DATA])
def test_a_connection_lost_before_the_body_means_unavailable(phase: Phase) -> None:
    assert outcome_without_reply(phase, Reason.SMTP_CONNECTION_LOST).status is UNAVAILABLE


def test_a_connection_lost_after_the_body_means_unknown() -> None:
    assert outcome_without_reply(Phase.BODY, Reason.SMTP_CONNECTION_LOST).status is UNKNOWN


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ("5.1.1 <bob@example.com> unknown", "5.1.1"),
        ("4.7.28", "4.7.28"),
        ("no 5.1.1 at the start", None),
        ("5.1.1.7 is no status", None),
        ("3.1.1 is no class", None),
        ("", None),
    ],
)
def test_the_enhanced_status_is_parsed_at_the_start_of_the_reply(text: str, status: str | None) -> None:
    assert enhanced_status(text) == status


def test_a_reason_holds_codes_but_not_the_servers_text() -> None:
    outcome = outcome_of_reply(Phase.RCPT, 550, "5.1.1 <bob@example.com> unknown")
    assert outcome.reason == "smtp 550 5.1.1 at rcpt"
    assert outcome.reply == "5.1.1 <bob@example.com> unknown"


@pytest.mark.parametrize(
    ("statuses", "expected"),
    [
        ([DEAD, DEAD], DEAD),
        ([DEAD, WAITING], WAITING),
        ([DEAD, WAITING, UNAVAILABLE], UNAVAILABLE),
    ],
)
def test_a_mail_with_all_recipients_refused_takes_the_mildest_status(
    statuses: list[MailStatus], expected: MailStatus
) -> None:
    assert (
        outcome_of_rejected_recipients([MailOutcome(status, "r") for status in statuses]).status is expected
    )
