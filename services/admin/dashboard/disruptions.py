"""Derives the dashboard's headline from all health signals. No I/O.

The worst disruption determines the colour of the headline.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC
from typing import Final, Literal

from runtime.sites.model import Sites
from services.admin.dashboard.formatting import duration
from services.admin.dashboard.labels import job_name, stage_name
from services.admin.rules.destinations import disabled_by
from services.admin.rules.reasons import explain, spam_word
from services.admin.rules.spam_shares import SpamShare
from services.admin.schemas.destinations import Destination
from services.admin.schemas.held_leads import HeldSite
from services.admin.schemas.system import GatewaySpool, Job, PartHealth, QueueStats, SystemHealth
from services.admin.store.deliveries.recent_outcomes import EmailOutcomes, RecentOutcomes
from services.admin.texts import gettext, ngettext

# With fewer emails, a single wrong address would count as a disruption.
MIN_EMAILS: Final = 5
# The thresholds of deploy/prometheus/alerts.yml.
FAILED_SHARE_WARNING: Final = 0.1
UNREAD_SECONDS: Final = 300
SPOOLED_SECONDS: Final = 120
QUEUED_SECONDS: Final = 3 * 3600
# The flusher imports each website's queue every five minutes.
SITE_QUEUED_SECONDS: Final = 3600

FAILED_EMAILS: Final = "/admin/ui/workbench/items?stage=notifier"
DESTINATIONS: Final = "/admin/ui/destinations"

Severity = Literal["bad", "amber"]


@dataclass(frozen=True)
class Disruption:
    """A disrupted component and the reason for the disruption.

    `component` is the name that the page shows. `url` is the page, or the part of the status page, where an
    admin can act. It is empty if there is no such page. `subject` tells disruptions of the same component
    apart, for example by site, gateway or dependency. `leads` is the number of affected leads or emails, or
    None if it is unknown.
    """

    component: str
    reason: str
    url: str = ""
    severity: Severity = "bad"
    subject: str = ""
    leads: int | None = None


@dataclass(frozen=True)
class Headline:
    """The title, its style (the CSS class `good`, `amber` or `bad`), and all disruptions, the worst first."""

    title: str
    style: str
    disruptions: list[Disruption]


NO_HEADLINE: Final = Headline("", "good", [])
"""The headline before the signals were first read."""


@dataclass(frozen=True)
class Signals:
    """All health signals that the headline depends on.

    `spam` lists the sites whose share of spam has risen, and `held` the sites with held leads. Each of
    `recent`, `jobs`, `spam`, `held` and `destinations` is None if it could not be read.
    """

    health: SystemHealth
    stats: QueueStats
    recent: RecentOutcomes | None
    jobs: list[Job] | None
    spam: list[SpamShare] | None
    held: list[HeldSite] | None
    sites: Sites = field(default_factory=Sites)
    destinations: list[Destination] | None = field(default_factory=list)


def destination_url(name: str) -> str:
    """Return the URL of a destination on the page of destinations."""
    return f"{DESTINATIONS}#destination-{name}"


def components(health: SystemHealth) -> list[tuple[str, PartHealth]]:
    """Return the name (as the page shows it) and the health of each dependency and service."""
    dependencies = [
        (gettext("Database"), health.database),
        ("Kafka", health.broker),
        (gettext("Mail server"), health.mail),
    ]
    return dependencies + [(stage_name(name), part) for name, part in health.services.items()]


def make_headline(signals: Signals) -> Headline:
    """Return the headline. It is green only if no signal reports a disruption."""
    found = [each for find in SIGNALS.values() for each in find(signals)]
    found.sort(key=lambda each: each.severity != "bad")
    if not found:
        return Headline(gettext("All systems operational"), "good", [])
    style = found[0].severity
    title = gettext("Service disruption") if style == "bad" else gettext("Needs attention")
    return Headline(title, style, found)


def _unavailable_components(signals: Signals) -> Iterator[Disruption]:
    for name, part in components(signals.health):
        if part.state == "down":
            causes = [
                _reason_of(check, reason or gettext("not ready"))
                for check, ok, reason in _checks(part)
                if not ok
            ]
            state = part.reason if part.reason and not causes else gettext("unavailable")
            yield Disruption(name, " · ".join([state, *causes]))


def _service_warnings(signals: Signals) -> Iterator[Disruption]:
    """Yield the warnings of services that work, such as an invalid sites file."""
    for name, part in components(signals.health):
        for check, ok, reason in _checks(part):
            if ok and reason:
                text = reason.removeprefix("warning: ")
                yield Disruption(
                    name, _reason_of(check.replace("_", " "), text), severity="amber", subject=check
                )


def _reason_of(subject: str, reason: str | None) -> str:
    return gettext("%(subject)s: %(reason)s", subject=subject, reason=reason)


def _checks(part: PartHealth) -> Iterator[tuple[str, bool, str]]:
    for name, result in (part.parts or {}).items():
        if isinstance(result, dict):
            yield name, bool(result.get("ok")), str(result.get("reason") or "")


def _paused_stages(signals: Signals) -> Iterator[Disruption]:
    for stage in signals.stats.stages or []:
        if stage.paused:
            reason = gettext("paused: %(reason)s", reason=stage.pause_reason or gettext("too many failures"))
            yield Disruption(
                stage_name(stage.stage), reason, f"#paused-{stage.stage}", leads=_lag(signals, stage.stage)
            )


def _lag(signals: Signals, stage: str) -> int | None:
    return next((group.lag for group in signals.stats.groups if group.group.endswith(f".{stage}")), None)


def _failed_team_notifications(signals: Signals) -> Iterator[Disruption]:
    # The team never hears of a lead whose notification fails, so one failure is a disruption.
    if failed := _emails(signals).get("admin_alert", EmailOutcomes()).failed:
        reason = ngettext(
            "%(count)s team notification could not be delivered in the last hour",
            "%(count)s team notifications could not be delivered in the last hour",
            failed,
        )
        yield Disruption(gettext("Email"), reason, f"{FAILED_EMAILS}&kind=admin_alert", leads=failed)


def _failed_emails(signals: Signals) -> Iterator[Disruption]:
    sent = sum(each.sent for each in _emails(signals).values())
    failed = sum(each.failed for each in _emails(signals).values())
    reason = gettext(
        "%(failed)s of the last %(all)s emails could not be delivered", failed=failed, all=sent + failed
    )
    if sent + failed >= MIN_EMAILS and failed > sent:
        yield Disruption(gettext("Email"), reason, FAILED_EMAILS, leads=failed)
    elif failed >= MIN_EMAILS and failed > FAILED_SHARE_WARNING * (sent + failed):
        yield Disruption(gettext("Email"), reason, FAILED_EMAILS, "amber", leads=failed)


def _emails(signals: Signals) -> Mapping[str, EmailOutcomes]:
    return signals.recent.emails if signals.recent else {}


def _dead_deliveries(signals: Signals) -> Iterator[Disruption]:
    for stage, rows in sorted(signals.recent.dead.items() if signals.recent else ()):
        reason = ngettext(
            "%(count)s delivery failed permanently in the last hour",
            "%(count)s deliveries failed permanently in the last hour",
            rows,
        )
        url = f"/admin/ui/workbench/items?stage={stage}&state=dead"
        yield Disruption(stage_name(stage), reason, url, leads=rows)


def _old_deliveries(signals: Signals) -> Iterator[Disruption]:
    # Three retries take an hour and a half, so an older delivery is stuck.
    for stage in signals.stats.stages or []:
        age = stage.oldest_open_age_seconds or 0.0
        if age > QUEUED_SECONDS:
            url = f"/admin/ui/workbench/items?stage={stage.stage}&state=waiting"
            reason = gettext("a failed delivery has been waiting for %(duration)s", duration=_hours(age))
            yield Disruption(stage_name(stage.stage), reason, url, "amber")


def _ledger_errors(signals: Signals) -> Iterator[Disruption]:
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


def _consumer_lag(signals: Signals) -> Iterator[Disruption]:
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
                duration=_minutes(age),
            )
            yield Disruption(name, reason, "#h-lag", leads=group.lag)


def _gateways(signals: Signals) -> Iterator[Disruption]:
    for gateway in signals.stats.gateways:
        subject = f"gateway {gateway.address or gateway.url}"
        name, stage = (
            gettext("gateway %(address)s", address=gateway.address or gateway.url),
            gettext("Lead intake"),
        )
        if gateway.state != "up":
            yield Disruption(
                stage,
                _reason_of(name, gateway.reason),
                "#h-gateways",
                subject=subject,
            )
            continue
        age, damaged = _spool_number(gateway, "oldest_age_seconds"), _spool_number(gateway, "damaged_files")
        if age > SPOOLED_SECONDS:
            depth = int(_spool_number(gateway, "depth"))
            reason = ngettext(
                "%(gateway)s has buffered %(count)s lead, the oldest for %(duration)s",
                "%(gateway)s has buffered %(count)s leads, the oldest for %(duration)s",
                depth,
                gateway=name,
                duration=_minutes(age),
            )
            yield Disruption(stage, reason, "#h-gateways", "amber", subject, depth)
        if damaged:
            reason = ngettext(
                "%(gateway)s has %(count)s damaged file with leads",
                "%(gateway)s has %(count)s damaged files with leads",
                int(damaged),
                gateway=name,
            )
            yield Disruption(stage, reason, "#h-gateways", "amber", f"{subject}, damaged files")


def _spool_number(gateway: GatewaySpool, name: str) -> float:
    spool = (gateway.status or {}).get("spool")
    value = spool.get(name) if isinstance(spool, dict) else None
    return float(value) if isinstance(value, int | float) else 0.0


def _site_queues(signals: Signals) -> Iterator[Disruption]:
    for queue in signals.stats.site_queues or []:
        name, site = stage_name("site"), signals.sites.display_name(queue.site)
        if queue.reason:
            yield Disruption(
                name,
                _reason_of(site, queue.reason),
                "#h-sites",
                subject=queue.site,
                leads=queue.depth,
            )
        if left := queue.unreadable + queue.damaged:
            reason = ngettext(
                "%(site)s: %(count)s entry cannot be read",
                "%(site)s: %(count)s entries cannot be read",
                left,
                site=site,
            )
            yield Disruption(name, reason, "#h-sites", "amber", f"{queue.site}, unreadable", left)
        if queue.refused:
            reason = ngettext(
                "%(site)s: %(count)s lead rejected by the last import",
                "%(site)s: %(count)s leads rejected by the last import",
                queue.refused,
                site=site,
            )
            url = "/admin/ui/workbench/items?stage=site"
            yield Disruption(name, reason, url, "amber", f"{queue.site}, rejected", queue.refused)
        since = queue.oldest_queued_at
        if queue.depth and since and queue.asked_at:
            age = (queue.asked_at.astimezone(UTC) - since.astimezone(UTC)).total_seconds()
            if age > SITE_QUEUED_SECONDS:
                reason = ngettext(
                    "%(site)s: %(count)s lead queued, the oldest for %(duration)s",
                    "%(site)s: %(count)s leads queued, the oldest for %(duration)s",
                    queue.depth,
                    site=site,
                    duration=_hours(age),
                )
                yield Disruption(name, reason, "#h-sites", "amber", queue.site, queue.depth)


def _spam(signals: Signals) -> Iterator[Disruption]:
    # A form with a broken field makes spam of every lead, and nobody is notified of spam.
    for share in signals.spam or []:
        site = signals.sites.display_name(share.site)
        values: dict[str, object] = {"spam": share.spam, "site": site}
        if share.reason:
            text = ngettext(
                "%(spam)s of %(count)s lead of %(site)s in 24 hours are spam (most often: %(reason)s)."
                " Check its form.",
                "%(spam)s of %(count)s leads of %(site)s in 24 hours are spam (most often: %(reason)s)."
                " Check its form.",
                share.leads,
                reason=spam_word(share.reason),
                **values,
            )
        else:
            text = ngettext(
                "%(spam)s of %(count)s lead of %(site)s in 24 hours are spam. Check its form.",
                "%(spam)s of %(count)s leads of %(site)s in 24 hours are spam. Check its form.",
                share.leads,
                **values,
            )
        url = "/admin/ui/leads?status=spam"
        yield Disruption(gettext("Lead intake"), text, url, "amber", share.site, share.spam)


def _held(signals: Signals) -> Iterator[Disruption]:
    # No visitor is answered while the leads are held, so somebody has to decide.
    for site in signals.held or []:
        name = signals.sites.display_name(site.site)
        held = ngettext(
            "%(count)s held lead of %(site)s: release them, or mark them as spam",
            "%(count)s held leads of %(site)s: release them, or mark them as spam",
            site.leads,
            site=name,
        )
        yield Disruption(gettext("Lead intake"), held, "/admin/ui/held", "amber")


def _destinations(signals: Signals) -> Iterator[Disruption]:
    """Yield the destinations that receive nothing, and those for which deliveries have no retries left."""
    for each in signals.destinations or []:
        component, url = stage_name("webhooks"), destination_url(each.name)
        if each.state in ("paused", "disabled"):
            is_refused = each.state == "disabled" and disabled_by(each.reason) is None
            reason = _destination_state(each)
            yield Disruption(
                component, reason, url, "bad" if is_refused else "amber", each.name, each.waiting
            )
        if each.dead and each.state != "removed":
            reason = ngettext(
                "%(destination)s: %(count)s delivery has no retries left",
                "%(destination)s: %(count)s deliveries have no retries left",
                each.dead,
                destination=each.name,
            )
            yield Disruption(component, reason, url, "amber", f"{each.name}, dead", each.dead)


def _destination_state(destination: Destination) -> str:
    name, reason = destination.name, destination.reason or ""
    if destination.state == "paused":
        return gettext(
            "%(destination)s is paused: %(reason)s", destination=name, reason=explain(reason) or reason
        )
    if actor := disabled_by(reason):
        return gettext("%(destination)s was disabled by %(actor)s", destination=name, actor=actor)
    return gettext(
        "%(destination)s is disabled: %(reason)s", destination=name, reason=explain(reason) or reason
    )


def _jobs(signals: Signals) -> Iterator[Disruption]:
    for job in signals.jobs or []:
        if job.overdue:
            yield Disruption(
                job_name(job.name), gettext("the next run is overdue"), "/admin/ui/jobs", "amber"
            )
        elif job.last_outcome == "failed":
            yield Disruption(job_name(job.name), gettext("the last run failed"), "/admin/ui/jobs", "amber")


def _unknown_signals(signals: Signals) -> Iterator[Disruption]:
    """Yield a disruption for each signal that could not be read: an unknown state does not count as good.

    Omits signals that depend on a component that is itself disrupted: the mail server if the notifier is not
    up, and everything in the database if the database is not up.
    """
    health, stats = signals.health, signals.stats
    notifier = health.services.get("notifier")
    if health.mail.state == "unknown" and notifier and notifier.state == "up":
        reason = gettext("status unknown: %(reason)s", reason=health.mail.reason)
        yield Disruption(gettext("Mail server"), reason)
    if health.database.state != "up":
        return
    for name, value, text in (
        (
            "failed deliveries and data integrity",
            stats.stages,
            gettext("the state of failed deliveries and data integrity is unknown"),
        ),
        ("recent emails", signals.recent, gettext("the state of recent emails is unknown")),
        ("scheduled tasks", signals.jobs, gettext("the state of scheduled tasks is unknown")),
        ("spam", signals.spam, gettext("the state of spam is unknown")),
        ("held leads", signals.held, gettext("the state of held leads is unknown")),
        ("destinations", signals.destinations, gettext("the state of destinations is unknown")),
        ("website queues", stats.site_queues, gettext("the state of website queues is unknown")),
    ):
        if value is None:
            yield Disruption(gettext("Database"), text, severity="amber", subject=name)


def _minutes(seconds: float) -> str:
    return duration(seconds // 60 * 60)


def _hours(seconds: float) -> str:
    return duration(seconds // 3600 * 3600)


# A new signal belongs here, and needs a case in tests/unit/admin/dashboard/test_disruptions.py.
SIGNALS: Final[Mapping[str, Callable[[Signals], Iterator[Disruption]]]] = {
    "components": _unavailable_components,
    "paused stages": _paused_stages,
    "team notifications": _failed_team_notifications,
    "emails": _failed_emails,
    "dead deliveries": _dead_deliveries,
    "old deliveries": _old_deliveries,
    "ledger": _ledger_errors,
    "consumer lag": _consumer_lag,
    "gateways": _gateways,
    "website queues": _site_queues,
    "service warnings": _service_warnings,
    "spam": _spam,
    "held leads": _held,
    "destinations": _destinations,
    "jobs": _jobs,
    "unknown signals": _unknown_signals,
}
