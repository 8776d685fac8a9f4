"""The links to email or call a lead, and the reply to a lead. No I/O."""

from dataclasses import dataclass
from datetime import datetime

from contracts.contact_urls import mailto_url, mailto_url_with, tel_url
from contracts.leads import alert_subject, lead_reference
from contracts.text import with_lf
from runtime.sites.model import Sites
from runtime.sites.reply import FIELDS, render_reply
from services.admin.schemas.lead_edits import QueuedLead
from services.admin.schemas.leads import Lead


@dataclass(frozen=True)
class ContactLinks:
    """The email address and the phone number of a lead, and the links that use them.

    `write` opens a new email, `reply` opens a reply to the lead's message, and `call` calls the number. A
    link is None if the lead has no usable address or number.
    """

    email: str | None
    phone: str | None
    write: str | None
    reply: str | None
    call: str | None


def contact_links(lead: Lead | QueuedLead, sites: Sites) -> ContactLinks:
    """Return a lead's contact details and links.

    The reply to a stored lead uses the reply template of the lead's site. The reply to a lead that is not
    stored yet does not use a template.
    """
    email = lead.email if lead.email and "@" in lead.email else None
    received_at = lead.created_at_utc if isinstance(lead, Lead) else None
    return ContactLinks(
        email=lead.email or None,
        phone=lead.phone or None,
        write=mailto_url(email) if email else None,
        reply=reply_url(lead, email, received_at, *_from_template(lead, sites)) if email else None,
        call=tel_url(lead.phone) if lead.phone else None,
    )


def reply_url(
    lead: Lead | QueuedLead, email: str, received_at: datetime | None, subject: str = "", body: str = ""
) -> str:
    """Return the link that opens a reply. The lead's message is quoted below `body`.

    By default, the subject is that of the team notification. A long subject, body or quote is shortened.
    """
    text = body.rstrip()
    if lead.message:
        writer = f"{lead.name or email}, {received_at:%Y-%m-%d}" if received_at else lead.name or email
        quoted = "\n".join(f"> {line}" for line in with_lf(lead.message).split("\n"))
        text += f"\n\n{writer}:\n{quoted}"
    return mailto_url_with(email, subject.strip() or f"Re: {alert_subject(lead.id)}", text)


def _from_template(lead: Lead | QueuedLead, sites: Sites) -> tuple[str, str]:
    """Return the subject and the body of the reply template of the lead's site.

    A part that the site does not define is an empty text.
    """
    template = sites.get(lead.site).reply if isinstance(lead, Lead) else None
    if template is None or not isinstance(lead, Lead):
        return "", ""
    fields = {name: getattr(lead, name, None) for name in FIELDS}
    fields |= {"reference": lead_reference(lead.id), "site": sites.display_name(lead.site)}
    subject, body = (render_reply(each, fields) if each else "" for each in (template.subject, template.body))
    return subject, body
