"""Reasons in words: what every service may give as one is told to somebody who has never heard of SMTP."""

import pytest

from contracts.failures import CONFLICT, UNDECODABLE
from services.admin.rules import reasons
from services.ingest.spam import SpamReason
from services.notifier.smtp import outcome
from services.notifier.smtp.outcome import Phase, outcome_of_reply, outcome_without_reply


@pytest.mark.parametrize(
    ("code", "text", "said"),
    [
        (550, "5.1.1 no such user", "the address does not exist"),
        (550, "no such user", "the mail server refused the mail"),
        (551, "5.1.6 moved", "the mailbox has moved"),
        (552, "", "the mailbox is full"),
        (452, "4.2.2 mailbox full", "the mailbox is full"),
        (451, "4.7.1 greylisted", "the mail server asks us to come again later"),
        (450, "later", "the mail server asks us to come again later"),
        (554, "5.7.1 spam", "the mail server does not accept our mail"),
        (554, "5.6.0 odd", "the mail server refused the mail"),
        (250, "2.0.0 Ok", "the mail server took the mail"),
        (250, "Ok", "the mail server took the mail"),
    ],
)
def test_an_answer_of_a_mail_server_is_told_in_words_with_its_code_behind(
    code: int, text: str, said: str
) -> None:
    reason = outcome_of_reply(Phase.RCPT, code, text).reason
    assert reasons.explain(reason) == said
    assert reasons.told(reason) == f"{said} ({reason})"


@pytest.mark.parametrize(
    "reason",
    [
        CONFLICT,
        UNDECODABLE,
        "database refused the data (22001)",
        "gateway 422: email",
        "no site shop in FASTCORE_SITE_QUEUE_URL",
        "bug: KeyError",
        outcome.PROCESS_DIED.reason,
        outcome_without_reply(Phase.BODY, "smtp silent").reason,
        outcome_without_reply(Phase.BODY, "smtp connection lost").reason,
        "too many welcomes to this address",
    ],
)
def test_every_reason_of_ours_has_its_words(reason: str) -> None:
    said = reasons.explain(reason)
    assert said
    assert said[0].islower(), "a part of a sentence"
    assert reason not in said


@pytest.mark.parametrize(
    "reason", ["2 of 3 recipients refused: smtp 550 5.1.1 at rcpt", "something new", "smtp", "smtp 550 x"]
)
def test_a_reason_that_nobody_foresaw_is_told_as_it_is(reason: str) -> None:
    assert reasons.explain(reason) is None
    assert reasons.told(reason) == reason


def test_every_sign_of_spam_has_its_words() -> None:
    for reason in SpamReason:
        assert reasons.spam_word(reason) != reason.replace("_", " "), reason
    assert reasons.spam_word("a_new_sign") == "a new sign"
