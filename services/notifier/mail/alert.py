"""What the alert about a lead shows: its fields, the actions, and the person's other leads. No I/O."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from urllib.parse import urlsplit
from uuid import UUID

from contracts.contact_urls import mailto_url_with, tel_url
from contracts.leads import LeadReceived, lead_reference
from contracts.text import to_line, truncate
from runtime.mail_address import parse_address
from runtime.sites.reply import FIELDS, Reply, render_reply
from services.notifier.mail.answers import FieldGroups, labelled_fields, visible_text
from services.notifier.mail.languages import Language, find_language

_SERVICE_MAX: Final = 120


@dataclass(frozen=True)
class OtherLead:
    """An earlier or later lead of the same person."""

    lead_id: UUID
    received_at: datetime
    service: str | None


@dataclass(frozen=True)
class OtherLeads:
    """The other leads of a person: the latest ones, and the number of all.

    If `is_more`, there are more than `total`.
    """

    latest: tuple[OtherLead, ...] = ()
    total: int = 0
    is_more: bool = False


NO_OTHER_LEADS: Final = OtherLeads()


@dataclass(frozen=True)
class AlertSite:
    """What an alert needs to know about the lead's site.

    `name` is what people call the site. `locale` is the one for leads without a locale. `reply` is the site's
    template of a reply, if it has one. `admin_url` is the dashboard's URL, or empty.
    """

    name: str
    locale: str
    admin_url: str
    reply: Reply | None = None


def alert_values(
    lead: LeadReceived, site: AlertSite, language: Language, others: OtherLeads
) -> dict[str, Any]:
    """Return the template variables that exist only in alerts, by name."""
    groups: FieldGroups = labelled_fields(lead, language)
    email = lead.email if lead.email and parse_address(lead.email) else ""
    call_url = tel_url(lead.phone) if lead.phone else None
    return {
        "fields": groups.all,
        "contact": groups.contact,
        "details": groups.details,
        "origin": groups.origin,
        "email_label": language.gettext("Email"),
        "email": email,
        "reply_url": _reply_url(lead, email, site) if email else "",
        "call_url": call_url or "",
        "call_number": urlsplit(call_url).path if call_url else "",
        "message": visible_text(lead.message),
        "lead_id": str(lead.lead_id),
        "site": visible_text(site.name),
        "url": _lead_url(site.admin_url, lead.lead_id),
        "other_total": _total(others, language) if others.latest else "",
        "other_leads": [
            {
                "received_at": language.time(each.received_at),
                "service": truncate(to_line(visible_text(each.service or "")), _SERVICE_MAX),
                "reference": lead_reference(each.lead_id),
                "url": _lead_url(site.admin_url, each.lead_id),
            }
            for each in others.latest
        ],
    }


def _total(others: OtherLeads, language: Language) -> str:
    return language.number(others.total) + ("+" if others.is_more else "")


def _reply_url(lead: LeadReceived, email: str, site: AlertSite) -> str:
    """Return the link that begins an email to the lead, with the site's template or a subject of ours.

    Our subject is in the lead's language, and has the reference that the confirmation shows.
    """
    reference = lead_reference(lead.lead_id)
    subject = body = ""
    if site.reply:
        fields = {name: getattr(lead, name, None) for name in FIELDS} | {
            "reference": reference,
            "site": site.name,
        }
        subject, body = (
            render_reply(each, fields) if each else "" for each in (site.reply.subject, site.reply.body)
        )
    if not subject.strip():
        request = find_language(lead.locale, site.locale).gettext("Your request %(reference)s")
        subject = "Re: " + request % {"reference": reference}
    return mailto_url_with(email, subject, body.rstrip())


def _lead_url(admin_url: str, lead_id: UUID) -> str:
    return f"{admin_url.rstrip('/')}/leads/{lead_id}" if admin_url else ""
