"""When a repeated dependency failure is attributed to one mail."""

import pytest

from services.notifier.sending.repeated_failures import FAILURES_OF_ONE_MAIL, RepeatedFailures
from services.notifier.smtp.outcome import SENDER_REFUSED, MailOutcome, MailStatus, Phase
from tests.support.services.notifier import delivery

SENT = MailOutcome(MailStatus.SENT, "smtp 250 at body", Phase.BODY, 250)


def failure(phase: Phase = Phase.RCPT, cause: str = "") -> MailOutcome:
    return MailOutcome(MailStatus.UNAVAILABLE, f"smtp 451 4.3.0 at {phase}", phase, 451, cause=cause)


def test_the_mail_is_the_cause_if_other_mails_pass_in_the_meantime() -> None:
    failures, bad = RepeatedFailures(), delivery()
    assert not failures.is_caused_by_mail(bad, failure())
    failures.record_passed(delivery(), SENT)
    results = [failures.is_caused_by_mail(bad, failure()) for _ in range(FAILURES_OF_ONE_MAIL - 1)]
    assert results == [False] * (FAILURES_OF_ONE_MAIL - 2) + [True]


def test_the_mail_is_not_the_cause_if_no_other_mail_passes() -> None:
    failures, bad = RepeatedFailures(), delivery()
    failures.record_passed(delivery(), SENT)
    assert not any(failures.is_caused_by_mail(bad, failure()) for _ in range(9))


@pytest.mark.parametrize("phase", [Phase.CONNECT, Phase.EHLO, Phase.LOGIN, Phase.MAIL])
def test_a_failure_before_rcpt_is_never_caused_by_the_mail(phase: Phase) -> None:
    failures, bad = RepeatedFailures(), delivery()
    for _ in range(9):
        assert not failures.is_caused_by_mail(bad, failure(phase))
        failures.record_passed(delivery(), SENT)


def test_passing_alerts_do_not_attribute_a_refused_sender_to_a_welcome() -> None:
    failures, bad = RepeatedFailures(), delivery()
    for _ in range(9):
        assert not failures.is_caused_by_mail(bad, failure(cause=SENDER_REFUSED))
        failures.record_passed(delivery("admin_alert"), SENT)
    failures.record_passed(delivery("welcome"), SENT)
    assert failures.is_caused_by_mail(bad, failure(cause=SENDER_REFUSED))


def test_the_failures_of_final_mails_and_revoked_partitions_are_removed() -> None:
    failures, removed, revoked = RepeatedFailures(), delivery(), delivery()
    for each in (removed, revoked):
        failures.is_caused_by_mail(each, failure())
    assert failures.count_of(removed.key) == 1
    failures.remove(removed.key)
    assert failures.count_of(removed.key) == 0
    failures.remove_revoked(lambda _topic, _partition: False)
    assert len(failures) == 0
