"""Finds disruptions of dependencies, services and scheduled jobs. No I/O."""

from collections.abc import Iterator
from typing import Final

from services.admin.dashboard.disruptions.emails import is_reported
from services.admin.dashboard.disruptions.signals import Disruption, Signals, reason_of
from services.admin.dashboard.labels import job_name, stage_name
from services.admin.rules.reasons import with_words
from services.admin.schemas.system import PartHealth, SystemHealth
from services.admin.texts import gettext

_PAUSED: Final = "paused: "


def components(health: SystemHealth) -> list[tuple[str, PartHealth]]:
    """Return the name (as the page shows it) and the health of each dependency and service."""
    return [(name, part) for _, name, part in _components(health)]


def _components(health: SystemHealth) -> list[tuple[str, str, PartHealth]]:
    """Return the key, the name that the page shows, and the health of each dependency and service."""
    dependencies = [
        ("database", gettext("Database"), health.database),
        ("broker", "Kafka", health.broker),
        ("mail", gettext("Mail server"), health.mail),
    ]
    return dependencies + [(name, stage_name(name), part) for name, part in health.services.items()]


def unavailable_components(signals: Signals) -> Iterator[Disruption]:
    """Yield each component that is down, with the reasons."""
    for key, name, part in _components(signals.health):
        if part.state == "down" and not is_reported(key, part, signals):
            causes = [
                reason_of(check, _in_words(reason) or gettext("not ready"))
                for check, ok, reason in _checks(part)
                if not ok
            ]
            state = _in_words(part.reason) if part.reason and not causes else gettext("unavailable")
            yield Disruption(name, " · ".join([state, *causes]))


def _in_words(reason: str) -> str:
    """Return a reason with its explanation, also that of a consumer: `paused: database answered 42501`."""
    cause = reason.removeprefix(_PAUSED)
    words = with_words(cause) if cause else ""
    return gettext("paused: %(reason)s", reason=words) if cause != reason else words


def service_warnings(signals: Signals) -> Iterator[Disruption]:
    """Yield the warnings of services that work, such as an invalid sites file.

    Leaves out the notifier's warning about emails: `emails.refused_emails` counts those of all notifiers.
    """
    for name, part in components(signals.health):
        for check, ok, reason in _checks(part):
            if ok and reason and check != "emails":
                text = reason.removeprefix("warning: ")
                yield Disruption(
                    name, reason_of(check.replace("_", " "), text), severity="amber", subject=check
                )


def _checks(part: PartHealth) -> Iterator[tuple[str, bool, str]]:
    for name, result in (part.parts or {}).items():
        if isinstance(result, dict):
            yield name, bool(result.get("ok")), str(result.get("reason") or "")


def paused_stages(signals: Signals) -> Iterator[Disruption]:
    """Yield each stage that its circuit breaker has paused."""
    for stage in signals.stats.stages or []:
        if stage.paused:
            reason = gettext("paused: %(reason)s", reason=stage.pause_reason or gettext("too many failures"))
            yield Disruption(
                stage_name(stage.stage), reason, f"#paused-{stage.stage}", leads=_lag(signals, stage.stage)
            )


def _lag(signals: Signals, stage: str) -> int | None:
    return next((group.lag for group in signals.stats.groups if group.group.endswith(f".{stage}")), None)


def failed_jobs(signals: Signals) -> Iterator[Disruption]:
    """Yield each scheduled job that is overdue or has failed."""
    for job in signals.jobs or []:
        if job.overdue:
            yield Disruption(
                job_name(job.name), gettext("the next run is overdue"), "/admin/ui/jobs", "amber"
            )
        elif job.last_outcome == "failed":
            yield Disruption(job_name(job.name), gettext("the last run failed"), "/admin/ui/jobs", "amber")


def unknown_signals(signals: Signals) -> Iterator[Disruption]:
    """Yield a disruption for each health signal that could not be read.

    Leaves out the signal of the mail server if the notifier is not up. Leaves out all signals from the
    database if the database is not up.
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
        ("failures", signals.recent, gettext("the state of recent failures is unknown")),
        ("recent emails", signals.emails, gettext("the state of recent emails is unknown")),
        ("scheduled tasks", signals.jobs, gettext("the state of scheduled tasks is unknown")),
        ("spam", signals.spam, gettext("the state of spam is unknown")),
        ("held leads", signals.held, gettext("the state of held leads is unknown")),
        ("destinations", signals.destinations, gettext("the state of destinations is unknown")),
        ("website queues", stats.site_queues, gettext("the state of website queues is unknown")),
    ):
        if value is None:
            yield Disruption(gettext("Database"), text, severity="amber", subject=name)
