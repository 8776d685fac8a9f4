"""Decides from the emails of the last hour whether mail servers refuse them, or accept them again. No I/O."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal

from contracts.mail_failures import FAILED_STATES, MIN_FAILED, still_fail
from services.admin.rules.reasons import ADDRESS_STATUSES

ALERT: Final = "admin_alert"
WELCOME: Final = "welcome"
# More than the usual share of mistyped addresses. deploy/prometheus/alerts.yml has the same threshold.
WARNING_SHARE: Final = 0.1
SHOWN_FAILURES: Final = 2


@dataclass(frozen=True)
class MailCounts:
    """The emails of one site and kind in a period, by their last outcome.

    `states` has the number of emails by state. `newest` has the states of the newest emails, the newest
    first. `failures` has what the servers said, or our own reasons, with the number of emails, the most
    frequent first.
    """

    site: str
    kind: str
    states: dict[str, int]
    newest: tuple[str, ...] = ()
    failures: tuple[tuple[str, int], ...] = ()

    @property
    def total(self) -> int:
        """Return the number of emails with an outcome."""
        return sum(self.states.values())

    @property
    def failed(self) -> int:
        """Return the number of emails whose last attempt failed."""
        return sum(self.states.get(state, 0) for state in FAILED_STATES)

    @property
    def newest_failed(self) -> int:
        """Return how many of the newest emails failed."""
        return sum(state in FAILED_STATES for state in self.newest)

    @property
    def concerns_addresses(self) -> bool:
        """Return True if most failures concern the recipients' addresses, such as 550 5.1.1."""
        of_addresses = sum(count for text, count in self.failures if ADDRESS_STATUSES.match(text))
        return 2 * of_addresses > self.failed

    @property
    def severity(self) -> Literal["bad", "amber"] | None:
        """Return the severity of the failures. Return None if emails do not fail, or have recovered.

        Confirmations to wrong addresses are never worse than a warning, because a bot may have entered the
        addresses.
        """
        if still_fail(self.failed, self.newest_failed):
            return "amber" if self.kind == WELCOME and self.concerns_addresses else "bad"
        if self.kind == ALERT and self.newest and self.newest[0] in FAILED_STATES:
            # The team is not notified of the lead. A deferred notification is retried.
            return "amber" if self.newest[0] == "waiting" else "bad"
        is_many = self.failed >= MIN_FAILED and self.failed > WARNING_SHARE * self.total
        return "amber" if is_many and self.newest_failed else None


@dataclass(frozen=True)
class MailRates:
    """The emails of all sites and kinds in a period."""

    counts: tuple[MailCounts, ...] = ()

    @property
    def sites(self) -> list[str]:
        """Return the sites that sent emails, sorted."""
        return sorted({each.site for each in self.counts})

    def of_site(self, site: str) -> "MailRates":
        """Return the emails of one site."""
        return MailRates(tuple(each for each in self.counts if each.site == site))

    def of_kind(self, kind: str) -> "MailRates":
        """Return the emails of one kind."""
        return MailRates(tuple(each for each in self.counts if each.kind == kind))

    def in_states(self, *states: str) -> int:
        """Return the number of emails in these states."""
        return sum(each.states.get(state, 0) for each in self.counts for state in states)

    @property
    def total(self) -> int:
        """Return the number of emails with an outcome."""
        return sum(each.total for each in self.counts)

    @property
    def failed(self) -> int:
        """Return the number of emails whose last attempt failed."""
        return sum(each.failed for each in self.counts)

    @property
    def failing(self) -> "MailRates":
        """Return the sites and kinds whose emails fail now."""
        return MailRates(tuple(each for each in self.counts if each.severity))

    @property
    def severity(self) -> Literal["bad", "amber"] | None:
        """Return the worst severity of all sites and kinds."""
        found = {each.severity for each in self.counts}
        return "bad" if "bad" in found else "amber" if "amber" in found else None

    @property
    def failures(self) -> list[tuple[str, int]]:
        """Return what the servers said, with the number of emails, the most frequent first."""
        counter = Counter[str]()
        for each in self.counts:
            counter.update(dict(each.failures))
        return counter.most_common()


def quote_failures(failures: Iterable[tuple[str, int]]) -> str:
    """Return the most frequent failures as one text. The number of emails follows if there are several."""
    listed = list(failures)
    if len(listed) == 1:
        return listed[0][0]
    return "; ".join(f"{text} ({count})" for text, count in listed[:SHOWN_FAILURES])


def describe_failing(rates: MailRates) -> str:
    """Return in English what fails, for the API and metrics: `160 of 160 emails fail: 550 5.7.1 ...`."""
    failing = rates.failing
    return f"{failing.failed} of {failing.total} emails of the last hour failed: " + quote_failures(
        failing.failures
    )
