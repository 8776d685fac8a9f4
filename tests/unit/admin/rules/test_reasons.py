"""The words for reasons."""

import pytest

from contracts.reasons import Reason, SpamReason
from services.admin.rules import reasons
from services.notifier.smtp import outcome
from services.notifier.smtp.outcome import Phase, outcome_of_reply, outcome_without_reply


@pytest.mark.parametrize(
    ("code", "text", "said"),
    [
        (550, "5.1.1 no such user", "the address does not exist"),
        (550, "no such user", "the mail server refused the email"),
        (551, "5.1.6 moved", "the mailbox has moved"),
        (552, "", "the mailbox is full"),
        (452, "4.2.2 mailbox full", "the mailbox is full"),
        (451, "4.7.1 greylisted", "temporarily deferred by the mail server"),
        (450, "later", "temporarily deferred by the mail server"),
        (554, "5.7.1 spam", "the mail server does not accept our email"),
        (554, "5.6.0 odd", "the mail server refused the email"),
        (250, "2.0.0 Ok", "the mail server accepted the email"),
        (250, "Ok", "the mail server accepted the email"),
    ],
)
def test_an_smtp_reply_is_explained_before_its_code(code: int, text: str, said: str) -> None:
    reason = outcome_of_reply(Phase.RCPT, code, text).reason
    assert reasons.explain(reason) == said
    assert reasons.with_words(reason) == f"{said} ({reason})"


def test_every_reason_has_words() -> None:
    assert set(reasons.WORDS) | {Reason.SMTP_REPLY, Reason.BOUNCED_WITH} == set(Reason)
    for words in reasons.WORDS.values():
        assert words[0].islower(), "a part of a sentence"


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("conflict", reasons.WORDS[Reason.CONFLICT]),
        ("database refused the data (22001)", reasons.WORDS[Reason.DATA_REFUSED]),
        ("gateway 422: email", reasons.WORDS[Reason.GATEWAY_REFUSED]),
        ("no site shop in FASTCORE_SITE_QUEUE_URL", reasons.WORDS[Reason.SITE_NOT_CONFIGURED]),
        ("bug: KeyError", reasons.WORDS[Reason.BUG]),
        ("bounced with 5.1.1", "the address does not exist"),
        ("bounced with 5.9.9", "the email came back"),
        (outcome.PROCESS_DIED.reason, reasons.WORDS[Reason.PROCESS_DIED]),
        (
            outcome_without_reply(Phase.BODY, Reason.SMTP_SILENT).reason,
            reasons.WORDS[Reason.SMTP_SILENT],
        ),
    ],
)
def test_a_stored_reason_is_explained(reason: str, words: str) -> None:
    assert reasons.explain(reason) == words


@pytest.mark.parametrize("reason", ["something new", "smtp", "smtp 550 x"])
def test_an_unknown_reason_is_shown_as_it_is(reason: str) -> None:
    assert reasons.explain(reason) is None
    assert reasons.with_words(reason) == reason


def test_every_sign_of_spam_has_words() -> None:
    for reason in SpamReason:
        assert reasons.spam_word(reason) != reason.replace("_", " "), reason
    assert reasons.spam_word("a_new_sign") == "a new sign"


@pytest.mark.parametrize(
    ("reason", "concerns"),
    [
        ("smtp 550 5.1.1 at rcpt", True),
        ("bounced with 5.1.1", True),
        ("bounced with 5.7.1", False),
        ("smtp 550 at rcpt", True),
        ("address is not valid", True),
        ("smtp 550 5.7.1 at rcpt", False),
        ("smtp 552 5.2.2 at rcpt", False),
        ("smtp 451 4.1.1 at rcpt", False),
        ("smtp 550 5.1.1 at mail", False),
        ("smtp silent at rcpt", False),
    ],
)
def test_a_new_address_helps_only_where_the_address_is_the_reason(reason: str, concerns: bool) -> None:
    assert reasons.concerns_address(reason) is concerns
