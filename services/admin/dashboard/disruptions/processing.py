"""Finds failed deliveries, wrong counts in the ledger, and consumer lag. No I/O."""

from collections.abc import Iterator
from typing import Final

from services.admin.dashboard.disruptions.signals import Disruption, Signals, hours, minutes
from services.admin.dashboard.labels import stage_name
from services.admin.texts import gettext, ngettext

# The thresholds of deploy/prometheus/alerts.yml.
UNREAD_SECONDS: Final = 300
QUEUED_SECONDS: Final = 3 * 3600


def dead_deliveries(signals: Signals) -> Iterator[Disruption]:
    """Yield each stage whose deliveries failed permanently in the last hour.

    Leaves out the notifier, of which `emails.undelivered_notifications` reports what failed.
    """
    dead = signals.recent.dead if signals.recent else {}
    for stage, rows in sorted(each for each in dead.items() if each[0] != "notifier"):
        reason = ngettext(
            "%(count)s delivery failed permanently in the last hour",
            "%(count)s deliveries failed permanently in the last hour",
            rows,
        )
        url = f"/admin/ui/workbench/items?stage={stage}&state=dead"
        yield Disruption(stage_name(stage), reason, url, leads=rows)


def old_deliveries(signals: Signals) -> Iterator[Disruption]:
    """Yield each stage with a failed delivery that has been waiting for hours."""
    # Three retries take an hour and a half, so an older delivery is stuck.
    for stage in signals.stats.stages or []:
        age = stage.oldest_open_age_seconds or 0.0
        if age > QUEUED_SECONDS:
            url = f"/admin/ui/workbench/items?stage={stage.stage}&state=waiting"
            reason = gettext("a failed delivery has been waiting for %(duration)s", duration=hours(age))
            yield Disruption(stage_name(stage.stage), reason, url, "amber")


def ledger_errors(signals: Signals) -> Iterator[Disruption]:
    """Yield disruptions of data integrity: counts in the ledger that are wrong, and missing records."""
    books = signals.stats.books
    if books is None:
        return
    if not books.balanced:
        reason = gettext("the counts of the processing steps and the database differ")
        yield Disruption(gettext("Data integrity"), reason, "#h-integrity")
    if missing := sum(each.missing for each in books.stages):
        reason = ngettext(
            "%(count)s lead or failed delivery missing",
            "%(count)s leads or failed deliveries missing",
            missing,
        )
        yield Disruption(gettext("Data integrity"), reason, "#h-integrity", subject="missing", leads=missing)


def consumer_lag(signals: Signals) -> Iterator[Disruption]:
    """Yield each stage that is behind, or whose lag is unknown while Kafka is up."""
    for group in signals.stats.groups:
        name = stage_name(group.group.split(".")[-1])
        if group.lag is None:
            if signals.health.broker.state == "up":
                yield Disruption(
                    name, gettext("consumer lag unknown: %(reason)s", reason=group.reason), "#h-lag"
                )
        elif (age := group.oldest_seconds or 0.0) > UNREAD_SECONDS:
            reason = ngettext(
                "%(count)s record to process, the oldest for %(duration)s",
                "%(count)s records to process, the oldest for %(duration)s",
                group.lag,
                duration=minutes(age),
            )
            yield Disruption(name, reason, "#h-lag", leads=group.lag)
