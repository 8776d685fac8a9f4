"""Composes the digest: one email to the team that lists several new leads. No I/O."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from contracts.leads import lead_reference
from services.notifier.mail.answers import no_name, one_line, visible_text
from services.notifier.mail.languages import Language, find_language
from services.notifier.mail.message import Identity, Mail, build_mail, valid_addresses

NAME: Final = "alert_digest"
LISTED_MAX: Final = 150
"""The largest number of leads in one email. Gmail cuts off an HTML part of more than 102 KB."""


@dataclass(frozen=True)
class ListedLead:
    """What the digest shows of a lead. `contact` is the email address, or else the phone number."""

    lead_id: UUID
    received_at: datetime
    name: str
    contact: str
    service: str
    message: str


@dataclass(frozen=True)
class AlertDigest:
    """The content of one digest email. A long list is sent as `parts` emails, and this is number `part`."""

    digest_id: UUID
    site: str
    recipients: tuple[str, ...]
    leads: tuple[ListedLead, ...]
    part: int = 1
    parts: int = 1


def compose_alert_digest(digest: AlertDigest, identity: Identity, now: datetime) -> Mail:
    """Compose the digest. It has no Reply-To, because a reply can go to one lead only.

    Raises `UndeliverableError` if a header is invalid, or if no address is valid.
    """
    language = find_language(identity.alert_locale, identity.locale)
    values, addresses = alert_digest_values(digest, identity, language), valid_addresses(digest.recipients)
    return build_mail(NAME, digest.digest_id, values, identity, language, now, addresses)


def alert_digest_values(digest: AlertDigest, identity: Identity, language: Language) -> dict[str, Any]:
    """Return what the templates of the digest may show."""
    admin_url = identity.admin_url.rstrip("/")
    return {
        "lang": language.code,
        "colon": language.colon,
        "number": language.number,
        "total": len(digest.leads),
        "part": digest.part,
        "parts": digest.parts,
        "site": visible_text(identity.site_name or digest.site),
        "sender_name": identity.sender_name,
        "leads": [_row_of(lead, admin_url, language) for lead in digest.leads],
    }


def _row_of(lead: ListedLead, admin_url: str, language: Language) -> dict[str, Any]:
    return {
        "received_at": language.time(lead.received_at),
        "name": one_line(lead.name) or no_name(language),
        "contact": one_line(lead.contact),
        "service": one_line(lead.service),
        "message": one_line(lead.message),
        "reference": lead_reference(lead.lead_id),
        "url": f"{admin_url}/leads/{lead.lead_id}" if admin_url else "",
    }
