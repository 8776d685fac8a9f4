"""What the overview's headline says: each thing that does not work, by the part that it concerns. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from services.admin.dashboard.formatting import plural, stage_name
from services.admin.schemas.system import PartHealth, QueueStats, SystemHealth
from services.admin.store.recent_outcomes import Mails, RecentOutcomes

# Of so few, one refused recipient would be a fifth: no sign of a disruption.
ENOUGH_MAILS: Final = 5


@dataclass(frozen=True)
class Disruption:
    """A part, as the page names it, and what is wrong with it."""

    part: str
    reason: str


def parts_of(health: SystemHealth) -> list[tuple[str, PartHealth]]:
    """Return each part under the name that the page shows."""
    named = [("Database", health.database), ("Kafka", health.broker), ("Mail server", health.mail)]
    return named + [(stage_name(name), part) for name, part in health.services.items()]


def find_disruptions(
    health: SystemHealth, stats: QueueStats, recent: RecentOutcomes | None
) -> list[Disruption]:
    """Return what does not work. `recent` is absent where the database is unavailable."""
    return [
        *_unavailable(health),
        *_paused(stats),
        *_mails(recent.mails if recent else {}),
        *_dead(recent.dead if recent else {}),
        *_ledger(stats),
        *_unknown(health, stats),
        *_sites(stats),
    ]


def _unavailable(health: SystemHealth) -> Iterator[Disruption]:
    for name, part in parts_of(health):
        if part.state == "down":
            causes = [
                f"{each}: {state.get('reason') or 'not ready'}"
                for each, state in (part.parts or {}).items()
                if isinstance(state, dict) and not state.get("ok")
            ]
            said = part.reason if part.reason and not causes else "unavailable"
            yield Disruption(name, " · ".join([said, *causes]))


def _paused(stats: QueueStats) -> Iterator[Disruption]:
    for stage in stats.stages or []:
        if stage.paused:
            yield Disruption(stage_name(stage.stage), f"paused: {stage.pause_reason or 'too many failures'}")


def _mails(mails: dict[str, Mails]) -> Iterator[Disruption]:
    # Each of them is a customer whom nobody hears of.
    if failed := mails.get("admin_alert", Mails()).failed:
        said = f"{plural(failed, 'team notification')} could not be delivered in the last hour"
        yield Disruption("Email", said)
    sent = sum(each.sent for each in mails.values())
    failed = sum(each.failed for each in mails.values())
    if sent + failed >= ENOUGH_MAILS and failed > sent:
        said = f"{failed} of the last {sent + failed} emails could not be delivered"
        yield Disruption("Email", said)


def _dead(dead: dict[str, int]) -> Iterator[Disruption]:
    for stage, rows in sorted(dead.items()):
        said = f"{plural(rows, 'delivery', 'deliveries')} failed for good in the last hour"
        yield Disruption(stage_name(stage), said)


def _ledger(stats: QueueStats) -> Iterator[Disruption]:
    if stats.books is None:
        return
    if not stats.books.balanced:
        yield Disruption("Data integrity", "the counts of the stages and the database differ")
    if missing := sum(each.missing for each in stats.books.stages):
        yield Disruption("Data integrity", f"{plural(missing, 'record')} missing from Kafka")


def _unknown(health: SystemHealth, stats: QueueStats) -> Iterator[Disruption]:
    """Nothing that does not answer counts as operational; what is unavailable is named already."""
    notifier = health.services.get("notifier")
    if health.mail.state == "unknown" and notifier and notifier.state == "up":
        yield Disruption("Mail server", f"status unknown: {health.mail.reason}")
    for group in stats.groups:
        if group.lag is None and health.broker.state == "up":
            yield Disruption(stage_name(group.group.split(".")[-1]), f"consumer lag unknown: {group.reason}")
    for gateway in stats.gateways:
        if gateway.state != "up":
            yield Disruption("Lead intake", f"gateway {gateway.address or gateway.url}: {gateway.reason}")


def _sites(stats: QueueStats) -> Iterator[Disruption]:
    for each in stats.site_queues or []:
        if each.reason:
            yield Disruption(stage_name("site"), f"{each.site}: {each.reason}")
