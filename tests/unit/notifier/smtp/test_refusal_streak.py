"""When a repeated refusal counts as a refusal of our sender."""

from services.notifier.smtp.outcome import MailOutcome, MailStatus, Phase, outcome_of_reply
from services.notifier.smtp.refusal_streak import RefusalStreak

ADMIN = "boss@fast.example"
SENT = MailOutcome(MailStatus.SENT, "smtp 250 at body", Phase.BODY, 250)


def refused(text: str, phase: Phase = Phase.RCPT) -> MailOutcome:
    return outcome_of_reply(phase, 550, text)


def recorded(streak: RefusalStreak, *refusals: tuple[str, str]) -> list[bool]:
    return [streak.record_outcome(refused(text), (to,)) for to, text in refusals]


def test_the_third_recipient_with_the_same_reply_completes_a_streak() -> None:
    streak = RefusalStreak(lambda: (ADMIN,))
    results = recorded(
        streak,
        ("a@x.example", "5.7.1 <a@x.example> not from you, id 4711-a"),
        (ADMIN, f"5.7.1 <{ADMIN}> not from you, id 4712-b"),
        ("b@x.example", "5.7.1 <b@x.example> not from you, id 4713-c"),
        ("c@x.example", "5.7.1 <c@x.example> not from you, id 4714-d"),
    )
    assert results == [False, False, True, True]


def test_visitors_alone_cannot_complete_a_streak() -> None:
    streak = RefusalStreak(lambda: (ADMIN,))
    assert not any(recorded(streak, *((f"{n}@x.example", "no such user here") for n in range(50))))


def test_a_reply_about_the_recipient_is_not_counted() -> None:
    streak = RefusalStreak(lambda: (ADMIN,))
    recipients = [ADMIN, *(f"{n}@x.example" for n in range(9))]
    assert not any(recorded(streak, *((each, "5.1.1 no such user") for each in recipients)))


def test_an_accepted_mail_or_another_reply_ends_a_streak() -> None:
    streak = RefusalStreak(lambda: (ADMIN,))
    recorded(streak, (ADMIN, "not from you"), ("a@x.example", "not from you"))
    assert not streak.record_outcome(SENT, ("b@x.example",))
    assert recorded(streak, ("c@x.example", "not from you"), (ADMIN, "not from you")) == [False, False]
    assert recorded(streak, ("d@x.example", "another"), ("e@x.example", "not from you")) == [False, False]


def test_a_repeatedly_refused_recipient_counts_once() -> None:
    streak = RefusalStreak(lambda: (ADMIN,))
    assert not any(recorded(streak, *((ADMIN, "looks like spam") for _ in range(9))))


def test_regression_an_alert_to_several_admins_counts_once() -> None:
    admins = (ADMIN, "a@fast.example", "b@fast.example")
    streak = RefusalStreak(lambda: admins)
    assert not any(streak.record_outcome(refused("5.7.1 looks like spam"), admins) for _ in range(9))
