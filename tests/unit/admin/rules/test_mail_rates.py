"""When the emails of a site fail, and when that is over."""

import pytest

from services.admin.rules.mail_rates import MailCounts, MailRates, describe_failing, quote_failures
from tests.support.services.disruption_signals import emails_of

ADDRESS = "550 5.1.1 User unknown"


@pytest.mark.parametrize(
    ("counts", "severity"),
    [
        (emails_of("welcome", *["dead"] * 5, dead=160), "bad"),
        (emails_of("welcome", *["waiting"] * 5, waiting=160), "bad"),
        (emails_of("welcome", *["bounced"] * 5, bounced=9), "bad"),
        (emails_of("welcome", *["unknown"] * 5, unknown=9), "bad"),
        # A bot enters addresses that do not exist.
        (emails_of("welcome", *["dead"] * 5, dead=160, reply=ADDRESS), "amber"),
        (emails_of("admin_alert", *["dead"] * 5, dead=160, reply=ADDRESS), "bad"),
        # Few failures: a mistyped address.
        (emails_of("welcome", "dead", "sent", "sent", dead=1, sent=2), None),
        (emails_of("welcome", *["dead"] * 4, dead=4), None),
        # Healed: three in a row were sent, then five.
        (emails_of("welcome", "sent", "sent", "dead", "dead", "dead", dead=160, sent=2), "bad"),
        (emails_of("welcome", "sent", "sent", "sent", "dead", "dead", dead=160, sent=3), "amber"),
        (emails_of("welcome", *["sent"] * 5, dead=160, sent=5), None),
        # A tenth fails all the time.
        (emails_of("welcome", "sent", "sent", "dead", "sent", "sent", dead=12, sent=100), "amber"),
        (emails_of("welcome", "sent", "sent", "dead", "sent", "sent", dead=5, sent=100), None),
        # A complaint is no failure: the email arrived.
        (emails_of("welcome", *["complained"] * 5, complained=50), None),
        # One notification that nobody received, until the next one arrives.
        (emails_of("admin_alert", "dead", "sent", dead=1, sent=99), "bad"),
        (emails_of("admin_alert", "waiting", "sent", waiting=1, sent=99), "amber"),
        (emails_of("admin_alert", "sent", "dead", dead=1, sent=99), None),
        (MailCounts("shop", "welcome", {}), None),
    ],
)
def test_the_newest_emails_decide_whether_emails_fail(counts: MailCounts, severity: str | None) -> None:
    assert counts.severity == severity


def test_the_worst_site_and_kind_decides() -> None:
    bad = emails_of("admin_alert", *["dead"] * 5, dead=80, site="blog")
    amber = emails_of("welcome", "waiting", *["sent"] * 4, waiting=20, sent=60, reply="451 4.7.1 later")
    good = emails_of("admin_alert", *["sent"] * 5, sent=80)
    rates = MailRates((bad, amber, good))
    assert rates.severity == "bad"
    assert rates.failing.sites == ["blog", "shop"]
    assert rates.of_site("shop").severity == "amber"
    assert MailRates((good,)).severity is None
    assert rates.failures == [("550 5.7.1 not allowed", 80), ("451 4.7.1 later", 20)]
    assert describe_failing(rates) == (
        "100 of 160 emails of the last hour failed: 550 5.7.1 not allowed (80); 451 4.7.1 later (20)"
    )


def test_a_single_failure_is_quoted_without_its_count() -> None:
    assert quote_failures([("550 no", 7)]) == "550 no"
    assert quote_failures([("a", 3), ("b", 2), ("c", 1)]) == "a (3); b (2)"
