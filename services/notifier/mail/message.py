"""Composes the welcome and the alert as the bytes to send. No I/O, no clock.

The headers contain two values from the visitor. The validated address is the recipient of a welcome. In an
alert, the Reply-To contains this address and the encoded name.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from email.headerregistry import Address
from email.utils import format_datetime
from functools import lru_cache
from typing import Any
from uuid import UUID

from contracts.failures import Kind
from contracts.leads import LeadReceived, lead_reference
from contracts.mail_events import mail_tag
from contracts.reasons import Reason
from contracts.text import to_line
from runtime.mail_address import Address as Recipient
from runtime.mail_address import parse_address
from runtime.sites.mail import AlertRule, recipients_by_rule
from runtime.sites.reply import Reply
from services.notifier.mail.alert import NO_OTHER_LEADS, AlertSite, OtherLeads, alert_values
from services.notifier.mail.alert_schedule import IMMEDIATE, AlertSchedule
from services.notifier.mail.encoded_words import encode_phrase
from services.notifier.mail.greeting import greeting_name
from services.notifier.mail.languages import Language, find_language
from services.notifier.mail.mail_templates import BUILT_IN, MailTemplates
from services.notifier.mail.mime import HeaderInjectionError, build_mime_message
from services.notifier.mail.provider_headers import provider_headers
from services.notifier.mail.reply_to import reply_to_header


class UndeliverableError(Exception):
    """The mail can never be sent, so its outcome is `dead`. `reason` contains no personal data."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True)
class Identity:
    """The sender and the admins of a site's mails.

    `alert_rules` replaces the admins for some leads. `reply_to` is the Reply-To of welcomes. If it is empty,
    welcomes have no Reply-To. It is ASCII, so that no welcome needs SMTPUTF8 because of it. The addresses are
    valid: the settings have been checked. `locale` is the site's locale. If it is empty, English
    applies. `alert_locale` is the locale of the site's team. If it is empty, `locale` applies.
    `site_name` is the site's display name, or empty. `reply` is the site's template of a reply to a lead.
    `alert_schedule` says when alerts are sent.
    `smtp_host` is the mail server: it may belong to a provider whose events need a header.
    """

    from_email: str
    sender_name: str
    admins: tuple[str, ...]
    admin_url: str = ""
    alert_rules: tuple[AlertRule, ...] = ()
    reply_to: str = ""
    locale: str = ""
    alert_locale: str = ""
    site_name: str = ""
    reply: Reply | None = None
    alert_schedule: AlertSchedule = IMMEDIATE
    templates: MailTemplates = BUILT_IN
    smtp_host: str = ""

    def admins_for(self, lead: LeadReceived) -> tuple[str, ...]:
        """Return the recipients of the alert about this lead."""
        if not self.alert_rules:
            return self.admins
        return recipients_by_rule(self.alert_rules, lead.service, lead.locale) or self.admins

    @property
    def is_ascii(self) -> bool:
        """Return True if no address of the sender makes a mail need SMTPUTF8."""
        return self.from_email.isascii()

    @property
    def all_admins(self) -> frozenset[str]:
        """Return every address that gets alerts."""
        return frozenset(self.admins).union(*(rule.to for rule in self.alert_rules))


@dataclass(frozen=True)
class Mail:
    """One composed mail: its envelope, and its headers and body as bytes (`content`)."""

    sender: str
    recipients: tuple[str, ...]
    content: bytes
    smtputf8: bool


def message_id(mail_id: UUID, name: str, from_email: str) -> str:
    """Return the Message-ID. A repeated mail has the same one, so that mailboxes can deduplicate it.

    `mail_id` is the id of the lead or of the digest, and `name` the name of the mail's templates.
    """
    return f"<{mail_tag(mail_id, name)}@{from_email.rpartition('@')[2]}>"


def compose(
    kind: Kind,
    lead: LeadReceived,
    identity: Identity,
    now: datetime,
    others: OtherLeads = NO_OTHER_LEADS,
) -> Mail:
    """Compose one mail. `others` are the other leads of the person, which an alert shows.

    Raises `UndeliverableError` if a header is invalid, or if no address is valid.
    """
    addresses = _recipients_of(kind, lead, identity)
    if kind == "welcome":
        reply_to = identity.reply_to
    else:
        utf8 = _needs_smtputf8(addresses, identity)
        reply_to = reply_to_header(lead.name or "", lead.email or "", utf8=utf8)
    language = language_of(kind, lead, identity)
    values = template_values(kind, lead, identity, language, others)
    return build_mail(kind, lead.lead_id, values, identity, language, now, addresses, reply_to)


def build_mail(
    name: str,
    mail_id: UUID,
    values: Mapping[str, Any],
    identity: Identity,
    language: Language,
    now: datetime,
    addresses: Sequence[Recipient],
    reply_to: str = "",
) -> Mail:
    """Build the mail that the templates `name` make of these values. `reply_to` is the header, if any.

    `mail_id` is the id of the lead or of the digest. Raises `UndeliverableError` if a header is invalid.
    """
    smtputf8 = _needs_smtputf8(addresses, identity)
    subject, text, html = identity.templates.render(name, values, language)
    headers = {
        "Date": _date_header(now.replace(microsecond=0)),
        "From": sender_header(identity),
        **({"Reply-To": reply_to} if reply_to else {}),
        "To": ", ".join(address.spec for address in addresses),
        "Subject": subject,
        "Message-ID": message_id(mail_id, name, identity.from_email),
        # RFC 3834: suppresses out-of-office replies.
        "Auto-Submitted": "auto-generated",
        **provider_headers(identity.smtp_host, mail_tag(mail_id, name)),
    }
    try:
        content = build_mime_message(headers, text, html, utf8=smtputf8)
    except HeaderInjectionError as error:
        raise UndeliverableError(Reason.HEADERS_INVALID) from error
    return Mail(identity.from_email, tuple(address.spec for address in addresses), content, smtputf8)


# The mails of a second have the same date.
_date_header = lru_cache(maxsize=4)(format_datetime)


def _needs_smtputf8(addresses: Sequence[Recipient], identity: Identity) -> bool:
    return any(address.smtputf8 for address in addresses) or not identity.is_ascii


def sender_header(identity: Identity) -> str:
    """Return the value of the header From. The name is ASCII, or encoded words in lines of their own."""
    return _mailbox(identity.sender_name, identity.from_email)


@lru_cache(maxsize=64)
def _mailbox(name: str, address: str) -> str:
    if not name.isascii():
        return "\r\n ".join([*encode_phrase(to_line(name)), f"<{address}>"])
    local, _, domain = address.rpartition("@")
    return str(Address(name, local, domain))


def _recipients_of(kind: Kind, lead: LeadReceived, identity: Identity) -> list[Recipient]:
    return valid_addresses((lead.email or "",) if kind == "welcome" else identity.admins_for(lead))


def valid_addresses(to: Iterable[str]) -> list[Recipient]:
    """Return the valid addresses in `to`. Raises `UndeliverableError` if there is none."""
    addresses = [address for each in to if (address := parse_address(each))]
    if not addresses:
        raise UndeliverableError(Reason.ADDRESS_INVALID)
    return addresses


def language_of(kind: Kind, lead: LeadReceived, identity: Identity) -> Language:
    """Return the language of a mail: the lead's for its welcome, the team's for the alert.

    If the lead's locale is missing or not supported, its welcome is in the language of the site.
    """
    if kind == "welcome":
        return find_language(lead.locale, identity.locale)
    return find_language(identity.alert_locale, identity.locale)


def template_values(
    kind: Kind,
    lead: LeadReceived,
    identity: Identity,
    language: Language,
    others: OtherLeads = NO_OTHER_LEADS,
) -> dict[str, Any]:
    """Return what the templates of a mail may show. Those of a welcome get nothing typed but a safe name.

    `others` are the other leads of the person, which an alert shows.
    """
    values: dict[str, Any] = {
        "lang": language.code,
        "colon": language.colon,
        "sender_name": identity.sender_name,
        "reference": lead_reference(lead.lead_id),
        "received_at": language.time(lead.occurred_at),
    }
    if kind == "welcome":
        return values | {
            "name": greeting_name(lead.name or ""),
            "replies_are_read": bool(identity.reply_to),
        }
    site = AlertSite(identity.site_name or lead.site, identity.locale, identity.admin_url, identity.reply)
    return values | alert_values(lead, site, language, others)
