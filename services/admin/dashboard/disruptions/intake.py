"""Finds disruptions of gateways and website queues. Also finds sites with held leads or much spam. No I/O."""

from collections.abc import Iterator
from datetime import UTC
from typing import Final

from services.admin.dashboard.disruptions.signals import Disruption, Signals, hours, minutes, reason_of
from services.admin.dashboard.labels import stage_name
from services.admin.rules.reasons import spam_word
from services.admin.schemas.system import GatewaySpool
from services.admin.texts import gettext, ngettext

# The threshold of deploy/prometheus/alerts.yml.
SPOOLED_SECONDS: Final = 120
# The flusher imports each website's queue every five minutes.
SITE_QUEUED_SECONDS: Final = 3600


def gateway_problems(signals: Signals) -> Iterator[Disruption]:
    """Yield each gateway that is not up, that buffers leads, or that has damaged files."""
    for gateway in signals.stats.gateways:
        subject = f"gateway {gateway.address or gateway.url}"
        name, stage = (
            gettext("gateway %(address)s", address=gateway.address or gateway.url),
            gettext("Lead intake"),
        )
        if gateway.state != "up":
            yield Disruption(
                stage,
                reason_of(name, gateway.reason),
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
                duration=minutes(age),
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


def site_queue_problems(signals: Signals) -> Iterator[Disruption]:
    """Yield the problems of the queues of websites."""
    for queue in signals.stats.site_queues or []:
        name, site = stage_name("site"), signals.sites.display_name(queue.site)
        if queue.reason:
            yield Disruption(
                name,
                reason_of(site, queue.reason),
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
                    duration=hours(age),
                )
                yield Disruption(name, reason, "#h-sites", "amber", queue.site, queue.depth)


def risen_spam(signals: Signals) -> Iterator[Disruption]:
    """Yield each site whose share of spam has risen."""
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


def held_leads(signals: Signals) -> Iterator[Disruption]:
    """Yield each site with held leads."""
    # No visitor is answered while the leads are held, so somebody has to decide.
    for site in signals.held or []:
        name = signals.sites.display_name(site.site)
        held = ngettext(
            "%(count)s held lead of %(site)s: release it, or mark it as spam",
            "%(count)s held leads of %(site)s: release them, or mark them as spam",
            site.leads,
            site=name,
        )
        yield Disruption(gettext("Lead intake"), held, "/admin/ui/held", "amber")
