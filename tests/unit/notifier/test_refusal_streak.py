"""One refusal for everybody is about us; one that visitors can bring about is not."""

from services.notifier.smtp.outcome import Outcome, Phase, Verdict, answered
from services.notifier.smtp.refusal_streak import RefusalStreak

ADMIN = "boss@fast.example"
SENT = Outcome(Verdict.SENT, "smtp 250 at body", Phase.BODY, 250)


def refused(text: str, phase: Phase = Phase.RCPT) -> Outcome:
    return answered(phase, 550, text)


def verdicts(streak: RefusalStreak, *refusals: tuple[str, str]) -> list[bool]:
    return [streak.is_about_us(refused(text), (to,)) for to, text in refusals]


def test_the_third_recipient_with_the_same_reply_shows_that_it_is_about_us() -> None:
    streak = RefusalStreak((ADMIN,))
    told = verdicts(
        streak,
        ("a@x.example", "5.7.1 <a@x.example> not from you, id 4711-a"),
        (ADMIN, f"5.7.1 <{ADMIN}> not from you, id 4712-b"),
        ("b@x.example", "5.7.1 <b@x.example> not from you, id 4713-c"),
        ("c@x.example", "5.7.1 <c@x.example> not from you, id 4714-d"),
    )
    assert told == [False, False, True, True]


def test_visitors_alone_cannot_stop_the_stage() -> None:
    streak = RefusalStreak((ADMIN,))
    assert not any(verdicts(streak, *((f"{n}@x.example", "no such user here") for n in range(50))))


def test_what_is_about_the_recipient_counts_for_nothing() -> None:
    streak = RefusalStreak((ADMIN,))
    recipients = [ADMIN, *(f"{n}@x.example" for n in range(9))]
    assert not any(verdicts(streak, *((each, "5.1.1 no such user") for each in recipients)))


def test_an_accepted_mail_and_another_reply_end_a_streak() -> None:
    streak = RefusalStreak((ADMIN,))
    verdicts(streak, (ADMIN, "not from you"), ("a@x.example", "not from you"))
    assert not streak.is_about_us(SENT, ("b@x.example",))
    assert verdicts(streak, ("c@x.example", "not from you"), (ADMIN, "not from you")) == [False, False]
    assert verdicts(streak, ("d@x.example", "another"), ("e@x.example", "not from you")) == [False, False]


def test_one_recipient_that_is_refused_again_and_again_is_one() -> None:
    streak = RefusalStreak((ADMIN,))
    assert not any(verdicts(streak, *((ADMIN, "looks like spam") for _ in range(9))))


def test_regression_one_alert_to_several_admins_is_one_mail() -> None:
    admins = (ADMIN, "a@fast.example", "b@fast.example")
    streak = RefusalStreak(admins)
    assert not any(streak.is_about_us(refused("5.7.1 looks like spam"), admins) for _ in range(9))
