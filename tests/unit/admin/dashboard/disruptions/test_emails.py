"""Disruptions of emails: refused by servers, and team notifications that nobody received."""

import pytest

from services.admin.dashboard.disruptions import emails
from services.admin.dashboard.disruptions.headline import make_headline
from services.admin.schemas.system import GroupLag, PartHealth
from services.admin.store.deliveries.recent_outcomes import RecentOutcomes
from tests.support.services.disruption_signals import (
    Case,
    check_case,
    down,
    emails_of,
    make_health,
    make_stats,
    rates,
    signals,
    signals_of,
    warning,
)

PANEL = "/admin#panel-emails"
FIVE = ["dead"] * 5
REFUSED = 'smtp 550 5.7.1 at rcpt: the server refuses every recipient ("550 5.7.1 sender not allowed")'
CASES = [
    Case(
        "emails",
        signals(emails=rates(
            emails_of("admin_alert", *FIVE, dead=80, reply="550 5.7.1 sender not allowed"),
            emails_of("welcome", *FIVE, dead=80, reply="550 5.7.1 sender not allowed"),
        )),
        "Email: 160 of 160 emails were refused in the last hour: 550 5.7.1 sender not allowed."
        " The team's notifications are among them.",
        url=PANEL,
    ),
    Case(
        "emails",
        signals(emails=rates(
            emails_of("admin_alert", *["waiting"] * 5, waiting=8, sent=2),
            emails_of("admin_alert", *["sent"] * 5, sent=50, site="blog"),
        )),
        "Email: The Shop: 8 of 10 emails were deferred in the last hour: 550 5.7.1 not allowed."
        " All of them are the team's notifications.",
        url=PANEL,
    ),
    Case(
        "emails",
        signals(emails=rates(emails_of("welcome", *["bounced"] * 5, bounced=9, reply="550 5.1.1 unknown"))),
        "Email: 9 of 9 emails bounced in the last hour: 550 5.1.1 unknown. All of them are confirmations.",
        "amber",
        PANEL,
    ),
    Case(
        "emails",
        signals(emails=rates(emails_of("admin_alert", "dead", dead=1, unknown=1, sent=9))),
        "Email: 2 of 11 emails failed in the last hour: 550 5.7.1 not allowed."
        " All of them are the team's notifications.",
        url=PANEL,
    ),
    Case(
        "emails",
        signals(
            health=make_health(
                mail=PartHealth(state="down", reason=REFUSED),
                services={"notifier": down(consumer=f"paused: {REFUSED}", smtp=REFUSED)},
            ),
            stats=make_stats(groups=[GroupLag(group="fastcore.notifier", lag=80, topics={})]),
        ),
        "Email: the mail server accepts no email: 550 5.7.1 sender not allowed."
        " 80 leads wait for their emails, the team's notifications among them",
        url=PANEL,
    ),
    Case(
        "team notifications",
        signals(recent=RecentOutcomes({"notifier": 80})),
        "Email: nobody received 80 team notifications of the last hour: send them again",
        "amber",
        "/admin/ui/workbench/items?stage=notifier&kind=admin_alert&state=dead",
    ),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.reason[:60])
def test_the_headline_reports_emails_that_fail(case: Case) -> None:
    check_case(case)


def test_every_signal_has_a_case() -> None:
    assert {case.signal for case in CASES} == signals_of(emails)


def test_each_failing_site_is_one_line_if_another_s_emails_arrive() -> None:
    counts = [emails_of("admin_alert", *FIVE, dead=9, site=site) for site in ("shop", "blog")]
    found = signals(emails=rates(*counts, emails_of("admin_alert", *["sent"] * 5, sent=9, site="fair")))
    headline = make_headline(found)
    assert [each.subject for each in headline.disruptions] == ["site blog", "site shop"]
    assert [each.leads for each in headline.disruptions] == [9, 9]


def test_the_refusals_that_health_reports_are_shown_once() -> None:
    refused = rates(emails_of("admin_alert", *FIVE, dead=9))
    mail = PartHealth(state="down", reason="9 of 9 ...", parts={"emails": {"ok": False, "reason": "9"}})
    health = make_health(mail=mail, services={"notifier": warning(emails="warning: 9 of 9 failed")})
    assert len(make_headline(signals(emails=refused, health=health)).disruptions) == 1


def test_a_notifier_with_another_failure_is_still_shown() -> None:
    health = make_health(
        mail=PartHealth(state="down", reason=REFUSED),
        services={"notifier": down(consumer=f"paused: {REFUSED}", database="no answer")},
    )
    lines = [each.reason for each in make_headline(signals(health=health)).disruptions]
    assert any("no answer" in line for line in lines), lines
