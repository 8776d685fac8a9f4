"""Real servers' replies that do not concern the mail."""

import pytest

from services.notifier.smtp.outcome import MailStatus, Phase, outcome_of_reply
from services.notifier.smtp.replies import QUOTE_MAX

SENDER, RECIPIENT = "hello@fast.example", "bob@customer.example"
FROM_RCPT_ON = (Phase.RCPT, Phase.DATA, Phase.BODY)


def status_of(line: str, phase: Phase = Phase.RCPT, recipient: str = RECIPIENT) -> MailStatus:
    code, text = line.split(" ", 1)
    return outcome_of_reply(phase, int(code), text, SENDER, (recipient,)).status


@pytest.mark.parametrize("phase", [Phase.MAIL, *FROM_RCPT_ON])
@pytest.mark.parametrize(
    "line",
    [
        "454 Throttling failure: Maximum sending rate exceeded.",
        "454 Throttling failure: Daily message quota exceeded.",
        "550 5.1.90 Your message can't be sent because you've reached your daily limit for recipients",
        "554 5.2.0 STOREDRV.Submission.Exception:SubmissionQuotaExceededException; Failed to process message",
        "550 5.7.233 Your message can't be sent because your tenant exceeded its daily limit",
        "550 5.7.508 Access denied, [192.0.2.7] has exceeded permitted limits within 24 h range",
        "421 4.4.2 Message submission rate for this client has exceeded the configured limit",
        "432 4.3.2 STOREDRV.ClientSubmit; sender thread limit exceeded",
        "550 5.4.5 Daily user sending limit exceeded. For more information on Gmail sending limits go to x",
        "421 4.7.28 Our system has detected an unusual rate of unsolicited mail originating from your IP",
        "421 4.7.0 Our system has detected an unusual rate of unsolicited mail originating from your IP",
        "450 4.2.1 Peak SMTP relay limit exceeded for customer. This is a temporary error.",
        "452 4.5.3 Your message has too many recipients. For more information on sending limits",
        "450 4.7.1 Error: too much mail from 192.0.2.7",
        '451 4.7.1 Ratelimit "outbound" exceeded',
        "550 Domain x.example has exceeded the max emails per hour (9/9 (100%)) allowed. Message discarded.",
        "450 Requested mail action not taken: Mail send limit exceeded",
        "451 You've exceeded your messaging limits",
    ],
)
def test_a_rate_limit_means_throttled(line: str, phase: Phase) -> None:
    assert status_of(line, phase) is MailStatus.THROTTLED


@pytest.mark.parametrize("phase", FROM_RCPT_ON)
@pytest.mark.parametrize(
    "line",
    [
        # Postfix 3.7 with smtpd_delay_reject, the default.
        "554 5.7.1 <bob@customer.example>: Relay access denied",
        "454 4.7.1 <bob@customer.example>: Relay access denied",
        "553 5.7.1 <hello@fast.example>: Sender address rejected: not owned by user us",
        "553 5.7.1 <hello@fast.example>: Sender address rejected: not logged in",
        "450 4.1.8 <hello@fast.example>: Sender address rejected: Domain not found",
        "550 5.1.8 <hello@fast.example>: Sender address rejected: Domain not found",
        "504 5.5.2 <mailhost>: Helo command rejected: need fully-qualified hostname",
        "554 5.7.1 <unknown[192.0.2.7]>: Client host rejected: Access denied",
        "450 4.7.25 Client host rejected: cannot find your hostname, [192.0.2.7]",
        "554 5.7.1 Service unavailable; Client host [192.0.2.7] blocked using zen.example",
        "550 relay not permitted",
        "550 5.7.54 SMTP; Unable to relay recipient in non-accepted domain",
        "530 5.7.57 Client not authenticated to send mail",
        "530 Authentication required",
        "554 5.2.252 SendAsDenied; hello@fast.example not allowed to send as x",
        "550 5.7.708 Service unavailable. Access denied, traffic not accepted from this IP",
        "550 The from address does not match a verified Sender Identity.",
        "403 You are not authorized to send from that email address",
        "554 Message rejected: Email address is not verified. PublishedFailure the check: hello@fast.example",
        "550 5.7.23 The message was rejected because of Sender Policy Framework violation",
    ],
)
def test_a_refusal_of_our_sender_means_unavailable(line: str, phase: Phase) -> None:
    assert status_of(line, phase) is MailStatus.UNAVAILABLE


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("550 5.1.1 <bob@customer.example>: Recipient address rejected: User unknown", MailStatus.DEAD),
        ("550 No such user here", MailStatus.DEAD),
        ("552 5.2.2 <bob@customer.example>: Quota exceeded (mailbox for user is full)", MailStatus.DEAD),
        ("452 4.2.2 The email account that you tried to reach is over quota", MailStatus.WAITING),
        ("450 4.2.1 The user you are trying to contact is receiving mail too quickly", MailStatus.WAITING),
        (
            "450 4.2.1 The user is receiving mail at a rate that prevents additional messages",
            MailStatus.WAITING,
        ),
        ("450 4.2.0 <bob@customer.example>: Recipient address rejected: Greylisted", MailStatus.WAITING),
        ("552 5.3.4 Message size exceeds fixed limit", MailStatus.DEAD),
        ("554 5.7.1 looks like spam", MailStatus.DEAD),
        ("554 5.7.1 <bob@customer.example>: Recipient address rejected: Access denied", MailStatus.DEAD),
        (
            "554 Message rejected: Email address is not verified: hello@fast.example, bob@customer.example",
            MailStatus.DEAD,
        ),
    ],
)
def test_a_reply_about_the_recipient_concerns_the_mail(line: str, expected: MailStatus) -> None:
    assert status_of(line) is expected


@pytest.mark.parametrize(
    "local", ["rate-limit", "throttling.failure", "relay.denied", "submissionquotaexceeded"]
)
def test_an_address_with_the_words_of_a_rule_does_not_match(local: str) -> None:
    recipient = f"{local}@customer.example"
    assert status_of(f"550 5.1.1 <{recipient}>: User unknown", recipient=recipient) is MailStatus.DEAD
    assert status_of(f"550 no mailbox {recipient} here", recipient=recipient) is MailStatus.DEAD


@pytest.mark.parametrize(
    ("line", "quote"),
    [
        ("550 5.7.1 sender not allowed", "550 5.7.1 sender not allowed"),
        ("550 5.1.1 <bob@customer.example>: Recipient address rejected: User unknown",
         "550 5.1.1 Recipient address rejected: User unknown"),
        ("550 5.1.1 bob... User unknown", "550 5.1.1 User unknown"),
        ("550 No such user bob here", "550 No such user here"),
        ("550 5.7.1 Rejected by mx7.mail.example at 2026-11-30T02:00:01Z, id 8f2a-11",
         "550 5.7.1 Rejected by at id"),
        ("554 5.7.1 Message contains 'Bob Smith' of \"Bob's shop\"", "554 5.7.1 Message contains of"),
        ("451 4.7.1 Try later, see https://mail.example/help?id=Bob", "451 4.7.1 Try later, see"),
        ("450 4.2.0 doesn't fit, can't take it", "450 4.2.0 doesn't fit, can't take it"),
        ("550 5.7.1 refused\nTwo lines", "550 5.7.1 refused Two lines"),
        ("550", "550"),
    ],
)  # fmt: skip
def test_a_quote_has_the_words_that_do_not_vary_and_no_person(line: str, quote: str) -> None:
    code, _, text = line.partition(" ")
    assert outcome_of_reply(Phase.RCPT, int(code), text, SENDER, (RECIPIENT,)).quote == quote


def test_a_long_quote_is_cut() -> None:
    quote = outcome_of_reply(Phase.RCPT, 550, "no " * 500, SENDER, (RECIPIENT,)).quote
    assert quote is not None
    assert len(quote) == len("550 ") + QUOTE_MAX
