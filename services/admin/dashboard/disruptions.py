"""Finds the disrupted components and the reasons, which the overview's headline lists. No I/O."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from services.admin.dashboard.formatting import plural, stage_name
from services.admin.schemas.system import PartHealth, QueueStats, SystemHealth
from services.admin.store.deliveries.recent_outcomes import EmailOutcomes, RecentOutcomes

# With fewer emails, a single wrong address would count as a disruption.
MIN_EMAILS: Final = 5


@dataclass(frozen=True)
class Disruption:
    """A component, by its name on the page, and what is wrong with it."""

    component: str
    reason: str


def components(health: SystemHealth) -> list[tuple[str, PartHealth]]:
    """Return each component's name on the page and its health."""
    dependencies = [("Database", health.database), ("Kafka", health.broker), ("Mail server", health.mail)]
    return dependencies + [(stage_name(name), part) for name, part in health.services.items()]


def find_disruptions(
    health: SystemHealth, stats: QueueStats, recent: RecentOutcomes | None
) -> list[Disruption]:
    """Return all disruptions. `recent` is None if the database is unavailable."""
    return [
        *_unavailable_components(health),
        *_paused_stages(stats),
        *_failed_emails(recent.emails if recent else {}),
        *_dead_deliveries(recent.dead if recent else {}),
        *_ledger_errors(stats),
        *_unknown_states(health, stats),
        *_site_queue_errors(stats),
    ]


def _unavailable_components(health: SystemHealth) -> Iterator[Disruption]:
    for name, part in components(health):
        if part.state == "down":
            causes = [
                f"{check}: {result.get('reason') or 'not ready'}"
                for check, result in (part.parts or {}).items()
                if isinstance(result, dict) and not result.get("ok")
            ]
            state = part.reason if part.reason and not causes else "unavailable"
            yield Disruption(name, " · ".join([state, *causes]))


def _paused_stages(stats: QueueStats) -> Iterator[Disruption]:
    for stage in stats.stages or []:
        if stage.paused:
            yield Disruption(stage_name(stage.stage), f"paused: {stage.pause_reason or 'too many failures'}")


def _failed_emails(emails: dict[str, EmailOutcomes]) -> Iterator[Disruption]:
    # The team never hears of a lead whose notification fails, so one failure is a disruption.
    if failed := emails.get("admin_alert", EmailOutcomes()).failed:
        reason = f"{plural(failed, 'team notification')} could not be delivered in the last hour"
        yield Disruption("Email", reason)
    sent = sum(each.sent for each in emails.values())
    failed = sum(each.failed for each in emails.values())
    if sent + failed >= MIN_EMAILS and failed > sent:
        reason = f"{failed} of the last {sent + failed} emails could not be delivered"
        yield Disruption("Email", reason)


def _dead_deliveries(dead: dict[str, int]) -> Iterator[Disruption]:
    for stage, rows in sorted(dead.items()):
        reason = f"{plural(rows, 'delivery', 'deliveries')} failed permanently in the last hour"
        yield Disruption(stage_name(stage), reason)


def _ledger_errors(stats: QueueStats) -> Iterator[Disruption]:
    if stats.books is None:
        return
    if not stats.books.balanced:
        yield Disruption("Data integrity", "the counts of the processing steps and the database differ")
    if missing := sum(each.missing for each in stats.books.stages):
        yield Disruption(
            "Data integrity",
            f"{plural(missing, 'lead or failed delivery', 'leads or failed deliveries')} missing",
        )


def _unknown_states(health: SystemHealth, stats: QueueStats) -> Iterator[Disruption]:
    """Yield a disruption for each state that could not be read.

    Omits the state of the mail server if the notifier is not up, and lags if Kafka is not up: the component
    that should report them is the disruption then.
    """
    notifier = health.services.get("notifier")
    if health.mail.state == "unknown" and notifier and notifier.state == "up":
        yield Disruption("Mail server", f"status unknown: {health.mail.reason}")
    for group in stats.groups:
        if group.lag is None and health.broker.state == "up":
            yield Disruption(stage_name(group.group.split(".")[-1]), f"consumer lag unknown: {group.reason}")
    for gateway in stats.gateways:
        if gateway.state != "up":
            yield Disruption("Lead intake", f"gateway {gateway.address or gateway.url}: {gateway.reason}")


def _site_queue_errors(stats: QueueStats) -> Iterator[Disruption]:
    for queue in stats.site_queues or []:
        if queue.reason:
            yield Disruption(stage_name("site"), f"{queue.site}: {queue.reason}")
