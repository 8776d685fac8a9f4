"""Finds emails that servers refuse, and team notifications that nobody received. No I/O."""

import re
from collections.abc import Iterator
from typing import Final

from services.admin.dashboard.disruptions.signals import Disruption, Signals, reason_of
from services.admin.dashboard.labels import stage_name
from services.admin.rules.mail_rates import ALERT, WELCOME, MailRates, quote_failures
from services.admin.schemas.system import PartHealth
from services.admin.texts import gettext, ngettext

# The panel that shows the numbers of each site, what the servers say, and what to do.
EMAILS_PANEL: Final = "/admin#panel-emails"
FAILED_NOTIFICATIONS: Final = "/admin/ui/workbench/items?stage=notifier&kind=admin_alert&state=dead"
# The notifier's reason to pause: a reply, its phase and cause, and the server's words.
_REFUSAL: Final = re.compile(
    r'(?:paused: )?smtp (?P<code>[45]\d\d(?: [45]\.\d+\.\d+)?) at \w+(?:: [^"]*?(?:\("(?P<quote>.*)"\))?)?'
)
_PAUSE: Final = re.compile(r"(?:paused: )?smtp .*", re.DOTALL)


def refused_emails(signals: Signals) -> Iterator[Disruption]:
    """Yield a disruption if servers refuse, defer or bounce most emails and have not recovered.

    If the emails of some sites arrive, there is one disruption for each site whose emails fail.
    """
    if (reply := server_refusal(signals)) is not None:
        yield _no_email_accepted(signals, reply)
    rates = signals.emails or MailRates()
    failing = rates.failing
    if failing.sites == rates.sites:
        if failing.counts:
            yield _refused(failing)
        return
    for site in failing.sites:
        yield _refused(failing.of_site(site), site, signals.sites.display_name(site))


def server_refusal(signals: Signals) -> str | None:
    """Return what the mail server says, if the notifier has paused because it refuses every email."""
    match = _REFUSAL.fullmatch(signals.health.mail.reason or "")
    if signals.health.mail.state != "down" or match is None:
        return None
    return match["quote"] or match["code"]


def is_reported(name: str, part: PartHealth, signals: Signals) -> bool:
    """Return True if `refused_emails` reports why a component is down, so that the reason is shown once.

    `name` is `mail` or the name of a service.
    """
    if name == "mail":
        return server_refusal(signals) is not None or "emails" in (part.parts or {})
    failed = [each for each in (part.parts or {}).values() if isinstance(each, dict) and not each.get("ok")]
    return (
        name == "notifier"
        and bool(failed)
        and server_refusal(signals) is not None
        and all(_PAUSE.fullmatch(str(each.get("reason") or "")) for each in failed)
    )


def undelivered_notifications(signals: Signals) -> Iterator[Disruption]:
    """Yield a disruption if team notifications of the last hour have no retries left."""
    if failed := signals.recent.dead.get("notifier", 0) if signals.recent else 0:
        reason = ngettext(
            "nobody received %(count)s team notification of the last hour: send it again",
            "nobody received %(count)s team notifications of the last hour: send them again",
            failed,
        )
        yield Disruption(
            stage_name("notifier"), reason, FAILED_NOTIFICATIONS, "amber", "notifications", failed
        )


def _no_email_accepted(signals: Signals, reply: str) -> Disruption:
    reason = gettext("the mail server accepts no email: %(reply)s", reply=reply)
    waiting = next((each.lag for each in signals.stats.groups if each.group.endswith(".notifier")), None)
    if waiting:
        reason += ". " + ngettext(
            "%(count)s lead waits for its emails, the team's notification among them",
            "%(count)s leads wait for their emails, the team's notifications among them",
            waiting,
        )
    return Disruption(stage_name("notifier"), reason, EMAILS_PANEL, subject="paused", leads=waiting)


def _refused(rates: MailRates, site: str = "", site_name: str = "") -> Disruption:
    replies = quote_failures(rates.failures)
    reason = f"{_sentence(rates, replies)}. {_which(rates)}"
    return Disruption(
        stage_name("notifier"),
        reason_of(site_name, reason) if site_name else reason,
        EMAILS_PANEL,
        rates.severity or "amber",
        f"site {site}" if site else "",
        rates.failed,
    )


def _sentence(rates: MailRates, replies: str) -> str:
    failed, all_ = rates.failed, rates.total
    if rates.in_states("dead") == failed:
        return ngettext(
            "%(count)s of %(all)s emails was refused in the last hour: %(replies)s",
            "%(count)s of %(all)s emails were refused in the last hour: %(replies)s",
            failed,
            all=all_,
            replies=replies,
        )
    if rates.in_states("waiting") == failed:
        return ngettext(
            "%(count)s of %(all)s emails was deferred in the last hour: %(replies)s",
            "%(count)s of %(all)s emails were deferred in the last hour: %(replies)s",
            failed,
            all=all_,
            replies=replies,
        )
    if rates.in_states("bounced") == failed:
        return ngettext(
            "%(count)s of %(all)s emails bounced in the last hour: %(replies)s",
            "%(count)s of %(all)s emails bounced in the last hour: %(replies)s",
            failed,
            all=all_,
            replies=replies,
        )
    return ngettext(
        "%(count)s of %(all)s emails failed in the last hour: %(replies)s",
        "%(count)s of %(all)s emails failed in the last hour: %(replies)s",
        failed,
        all=all_,
        replies=replies,
    )


def _which(rates: MailRates) -> str:
    if not rates.of_kind(ALERT).counts:
        return gettext("All of them are confirmations.")
    if not rates.of_kind(WELCOME).counts:
        return gettext("All of them are the team's notifications.")
    return gettext("The team's notifications are among them.")
