"""Invented leads, with which templates are checked and previewed. No I/O."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID, uuid4, uuid5

from contracts.extra_fields import EXTRA_MAX_BYTES
from contracts.failures import Kind
from contracts.field_types import LINE_MAX, MESSAGE_MAX
from contracts.leads import EXAMPLE, LeadReceived
from services.notifier.mail import alert_digest
from services.notifier.mail.alert import NO_OTHER_LEADS, OtherLead, OtherLeads
from services.notifier.mail.alert_digest import (
    AlertDigest,
    ListedLead,
    alert_digest_values,
    compose_alert_digest,
)
from services.notifier.mail.held_digest import LISTED_MAX, HeldDigest, HeldLead, digest_values
from services.notifier.mail.languages import Language
from services.notifier.mail.message import Identity, Mail, compose, template_values

_ID: Final = UUID("019b0c5e-9d3a-7c41-8f0e-2a6b4c8d0e1f")
_TIME: Final = datetime(2026, 1, 3, 10, 30, tzinfo=UTC)
_IDENTITY: Final = Identity(
    "hello@studio.example",
    "Studio Nord",
    ("team@studio.example",),
    "https://leads.example/admin",
    reply_to="office@studio.example",
)


def sample_lead(site: str, locale: str | None, *, lead_id: UUID = _ID, now: datetime = _TIME) -> LeadReceived:
    """Return an invented lead with a value in every field, for previews and test mails."""
    fields: dict[str, Any] = {name: EXAMPLE[name] for name in LeadReceived.model_fields if name in EXAMPLE}
    return LeadReceived.model_validate(
        fields
        | {
            "event_id": lead_id,
            "occurred_at": now,
            "lead_id": lead_id,
            "site": site,
            "body_sha256": "0" * 64,
            "locale": locale,
            "consent_text": "I agree that you answer me by email.",
            "extra": {"budget": EXAMPLE["budget"]},
        }
    )


def sample_other_leads(lead: LeadReceived) -> OtherLeads:
    """Return two invented earlier leads of the same person."""
    days = ((40, "Hosting"), (400, "Web design"))
    latest = tuple(
        OtherLead(uuid5(lead.lead_id, service), lead.occurred_at - timedelta(days=count), service)
        for count, service in days
    )
    return OtherLeads(latest, len(latest))


def compose_sample(
    kind: Kind,
    site: str,
    identity: Identity,
    now: datetime,
    *,
    locale: str | None = None,
    address: str | None = None,
) -> Mail:
    """Compose a mail about an invented lead, as a lead of this site would cause it.

    With an `address`, the lead has a new id, because mailboxes drop a second mail with the same Message-ID.
    Without one, it has the same id each time, so that the HTML and the text of a preview agree.

    The recipient is `address` if it is given. Raises `UndeliverableError` if it is invalid.
    """
    lead = sample_lead(site, locale, lead_id=_new_id(address), now=now)
    if address is not None and kind == "welcome":
        lead = lead.model_copy(update={"email": address})
    elif address is not None:
        identity = replace(identity, admins=(address,), alert_rules=())
    return compose(kind, lead, identity, now, sample_other_leads(lead))


def compose_sample_digest(
    site: str, identity: Identity, now: datetime, *, address: str | None = None
) -> Mail:
    """Compose a digest about three invented leads, as leads of this site would cause it.

    Its id is as in `compose_sample`. The recipient is `address` if it is given. Raises `UndeliverableError`
    if it is invalid.
    """
    recipients = identity.admins if address is None else (address,)
    leads = tuple(
        sample_listed_lead(site, uuid5(_ID, str(age)), now - timedelta(minutes=17 * age)) for age in (2, 1, 0)
    )
    return compose_alert_digest(AlertDigest(_new_id(address), site, recipients, leads), identity, now)


def _new_id(address: str | None) -> UUID:
    """Return the id of an invented lead: a random one if its mail is sent to an address."""
    return _ID if address is None else uuid4()


def sample_listed_lead(site: str, lead_id: UUID = _ID, now: datetime = _TIME) -> ListedLead:
    """Return an invented lead, as a digest shows it."""
    lead = sample_lead(site, None, lead_id=lead_id, now=now)
    return ListedLead(lead_id, now, lead.name or "", lead.email or "", lead.service, lead.message)


def sample_values(mail: str, language: Language) -> Iterator[dict[str, Any]]:
    """Yield the values for the templates of a mail.

    They are of a lead with all fields, of one with few, and of one whose fields are about as long as the
    gateway accepts.
    """
    full = sample_lead("studio", language.code)
    few = full.model_copy(
        update={"name": None, "email": None, "company": None, "message": "", "source": None, "extra": {}}
    )
    # Escaped for HTML, a < takes four characters, and a line end becomes a tag.
    long = full.model_copy(
        update={
            "name": "<" * LINE_MAX,
            "message": "<\n" * (MESSAGE_MAX // 2),
            "extra": {f"field {number}": "<\n" * 24 for number in range(EXTRA_MAX_BYTES // 64)},
        }
    )
    others = sample_other_leads(full)
    without = replace(_IDENTITY, admin_url="", reply_to="")
    for lead, identity, listed, total in (
        (full, _IDENTITY, 1, 2),
        (few, without, 1, 1),
        (long, _IDENTITY, LISTED_MAX, 1_000_000),
    ):
        if mail == alert_digest.NAME:
            new = ListedLead(
                _ID, _TIME, lead.name or "", lead.email or "", lead.service, lead.message or full.message
            )
            count = min(listed, alert_digest.LISTED_MAX)
            digest = AlertDigest(_ID, lead.site, identity.admins, (new,) * count, 1, total)
            yield alert_digest_values(digest, identity, language)
        elif mail == "held_digest":
            held = HeldLead(_ID, _TIME, full.name, full.email or "", lead.message or full.message)
            yield digest_values(HeldDigest(_ID, lead.site, (held,) * listed, total), identity, language)
        else:
            known: Kind = "welcome" if mail == "welcome" else "admin_alert"
            yield template_values(known, lead, identity, language, NO_OTHER_LEADS if lead is few else others)
