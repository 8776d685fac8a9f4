"""What each answer of a mail server means, as a table."""

import pytest

from services.notifier.smtp.outcome import (
    Outcome,
    Phase,
    Verdict,
    answered,
    enhanced_status,
    not_answered,
    of_all,
)

WORLD, THROTTLED, WAITING, DEAD, SENT, UNKNOWN = (
    Verdict.WORLD,
    Verdict.THROTTLED,
    Verdict.WAITING,
    Verdict.DEAD,
    Verdict.SENT,
    Verdict.UNKNOWN,
)
ABOUT_US = (Phase.CONNECT, Phase.EHLO, Phase.LOGIN, Phase.MAIL)
ABOUT_THE_MAIL = (Phase.RCPT, Phase.DATA, Phase.BODY)


@pytest.mark.parametrize("phase", ABOUT_US)
@pytest.mark.parametrize(
    "line",
    ["421 busy", "450 4.7.1 later", "535 5.7.8 bad login", "550 5.1.8 bad sender", "554 no", "-1 what?"],
)
def test_up_to_mail_every_refusal_is_the_worlds(phase: Phase, line: str) -> None:
    code, text = line.split(" ", 1)
    assert answered(phase, int(code), text).verdict is WORLD


@pytest.mark.parametrize("phase", ABOUT_THE_MAIL)
@pytest.mark.parametrize(
    ("code", "text", "verdict"),
    [
        (421, "try again later", WORLD),
        (421, "4.2.1 mailbox busy", WORLD),
        (450, "4.2.0 greylisted", WAITING),
        (450, "4.2.2 mailbox full", WAITING),
        (451, "no enhanced status", WAITING),
        (451, "4.3.0 server trouble", WORLD),
        (452, "4.3.1 no space", WORLD),
        (451, "4.4.1 no route", WORLD),
        (450, "4.7.1 greylisted", WAITING),
        (454, "4.7.0 temporary authentication failure", WORLD),
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
def test_from_rcpt_on_the_code_says_whose_fault_it_is(
    phase: Phase, code: int, text: str, verdict: Verdict
) -> None:
    assert answered(phase, code, text).verdict is verdict


@pytest.mark.parametrize("code", [250, 251])
def test_only_a_positive_answer_to_the_body_is_a_mail_sent(code: int) -> None:
    assert answered(Phase.BODY, code, "2.0.0 queued as 1A2B").verdict is SENT


@pytest.mark.parametrize("code", [-1, 354, 199])
def test_nonsense_before_the_body_is_the_worlds_and_after_it_unknown(code: int) -> None:
    assert answered(Phase.RCPT, code, "?").verdict is WORLD
    assert answered(Phase.DATA, code, "?").verdict is WORLD
    assert answered(Phase.BODY, code, "?").verdict is UNKNOWN


@pytest.mark.parametrize("phase", [*ABOUT_US, Phase.RCPT, Phase.DATA])
def test_a_connection_lost_before_the_body_was_written_sent_nothing(phase: Phase) -> None:
    assert not_answered(phase, "smtp connection lost").verdict is WORLD


def test_a_connection_lost_after_the_body_was_written_is_unknown() -> None:
    assert not_answered(Phase.BODY, "smtp connection lost").verdict is UNKNOWN


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
def test_the_enhanced_status_is_read_where_rfc_2034_puts_it(text: str, status: str | None) -> None:
    assert enhanced_status(text) == status


def test_a_reason_holds_codes_and_never_the_servers_text() -> None:
    outcome = answered(Phase.RCPT, 550, "5.1.1 <bob@example.com> unknown")
    assert outcome.reason == "smtp 550 5.1.1 at rcpt"
    assert outcome.answer == "5.1.1 <bob@example.com> unknown"


@pytest.mark.parametrize(
    ("verdicts", "all_together"),
    [
        ([DEAD, DEAD], DEAD),
        ([DEAD, WAITING], WAITING),
        ([DEAD, WAITING, WORLD], WORLD),
    ],
)
def test_a_mail_refused_to_all_is_dead_only_when_all_are_dead(
    verdicts: list[Verdict], all_together: Verdict
) -> None:
    assert of_all([Outcome(verdict, "r") for verdict in verdicts]).verdict is all_together
