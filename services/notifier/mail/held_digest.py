"""Composes the email to the team about the held leads of a site. No I/O."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from services.notifier.mail.answers import no_name, one_line, visible_text
from services.notifier.mail.languages import Language, find_language
from services.notifier.mail.message import Identity, Mail, build_mail, valid_addresses

LISTED_MAX: Final = 200
"""The largest number of leads that are listed. The dashboard lists all of them."""


@dataclass(frozen=True)
class HeldLead:
    """What the digest shows of a held lead.

    `released` is True if somebody has released the lead since.
    """

    lead_id: UUID
    received_at: datetime
    name: str | None
    contact: str
    message: str
    released: bool = False


@dataclass(frozen=True)
class HeldDigest:
    """The leads of one digest.

    `leads` contains at most `LISTED_MAX` leads. `total` is the number of all leads of the digest.
    """

    digest_id: UUID
    site: str
    leads: tuple[HeldLead, ...]
    total: int


def compose_held_digest(digest: HeldDigest, identity: Identity, now: datetime) -> Mail:
    """Compose the digest. It has no Reply-To, because a reply can go to one lead only.

    Raises `UndeliverableError` if a header is invalid, or if no address is valid.
    """
    language = find_language(identity.alert_locale, identity.locale)
    values, addresses = digest_values(digest, identity, language), valid_addresses(identity.admins)
    return build_mail("held_digest", digest.digest_id, values, identity, language, now, addresses)


def digest_values(digest: HeldDigest, identity: Identity, language: Language) -> dict[str, Any]:
    """Return what the templates of the digest may show."""
    admin_url = identity.admin_url.rstrip("/")
    return {
        "lang": language.code,
        "colon": language.colon,
        "number": language.number,
        "total": digest.total,
        "site": visible_text(identity.site_name or digest.site),
        "sender_name": identity.sender_name,
        "url": f"{admin_url}/ui/held" if admin_url else "",
        "leads": [_row_of(lead, admin_url, language) for lead in digest.leads],
        "more": digest.total - len(digest.leads),
    }


def _row_of(lead: HeldLead, admin_url: str, language: Language) -> dict[str, Any]:
    return {
        "received_at": language.time(lead.received_at),
        "name": one_line(lead.name or "") or no_name(language),
        "contact": one_line(lead.contact),
        "message": one_line(lead.message),
        "reference": str(lead.lead_id)[-8:],
        "released": lead.released,
        "url": f"{admin_url}/leads/{lead.lead_id}" if admin_url else "",
    }
