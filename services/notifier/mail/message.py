"""Composes the welcome and the alert as the bytes to send. No I/O, no clock.

The headers contain two values from the visitor: the validated address, as the recipient of a welcome and in
the Reply-To of an alert, and the name, encoded, in the same Reply-To.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from email.headerregistry import Address
from email.utils import format_datetime
from functools import lru_cache
from typing import Final
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from contracts.failures import Kind
from contracts.leads import LeadReceived, alert_subject, lead_reference
from contracts.reasons import Reason
from runtime.mail_address import Address as Recipient
from runtime.mail_address import parse_address
from runtime.sites.mail import AlertRule, recipients_by_rule
from services.notifier.mail.answers import break_lines, labelled_fields, quote_lines, visible_text
from services.notifier.mail.greeting import greeting_name
from services.notifier.mail.mime import HeaderInjectionError, build_mime_message
from services.notifier.mail.reply_to import reply_to_header


def _urlquote(value: str) -> str:
    return quote(value, safe="@")


TEMPLATES: Final = Environment(
    loader=PackageLoader("services.notifier.mail"),
    autoescape=select_autoescape(["html"]),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    auto_reload=False,  # or jinja2 checks the template files for each mail
)
TEMPLATES.filters["urlquote"] = _urlquote
TEMPLATES.filters["quote_lines"] = quote_lines
TEMPLATES.filters["break_lines"] = break_lines


class UndeliverableError(Exception):
    """The mail can never be sent, so its outcome is `dead`. `reason` contains no personal data."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True)
class Identity:
    """The sender and the admins of a site's mails.

    `alert_rules` replaces the admins for some leads. `reply_to` is the Reply-To of welcomes, empty for none.
    The addresses are valid: the settings have been checked.
    """

    from_email: str
    sender_name: str
    admins: tuple[str, ...]
    admin_url: str = ""
    alert_rules: tuple[AlertRule, ...] = ()
    reply_to: str = ""

    def admins_for(self, lead: LeadReceived) -> tuple[str, ...]:
        """Return the recipients of the alert about this lead."""
        if not self.alert_rules:
            return self.admins
        return recipients_by_rule(self.alert_rules, lead.service, lead.locale) or self.admins

    @property
    def is_ascii(self) -> bool:
        """Return True if no address that this identity puts into headers needs SMTPUTF8."""
        return self.from_email.isascii() and self.reply_to.isascii()

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


def message_id(lead: LeadReceived, kind: Kind, from_email: str) -> str:
    """Return the Message-ID. A repeated mail has the same id, so that mailboxes can deduplicate it."""
    return f"<{lead.lead_id}.{kind}@{from_email.rpartition('@')[2]}>"


def compose(kind: Kind, lead: LeadReceived, identity: Identity, now: datetime) -> Mail:
    """Compose one mail.

    Raises `UndeliverableError` if a header is invalid, or if no address is valid.
    """
    addresses = _recipients_of(kind, lead, identity)
    smtputf8 = any(address.smtputf8 for address in addresses) or not identity.is_ascii
    if kind == "welcome":
        reply_to = identity.reply_to
    else:
        reply_to = reply_to_header(lead.name or "", lead.email or "", utf8=smtputf8)
    headers = {
        "Date": format_datetime(now),
        "From": sender_header(identity),
        **({"Reply-To": reply_to} if reply_to else {}),
        "To": ", ".join(address.spec for address in addresses),
        "Subject": _subject(kind, lead, identity),
        "Message-ID": message_id(lead, kind, identity.from_email),
        # RFC 3834: suppresses out-of-office replies.
        "Auto-Submitted": "auto-generated",
    }
    values = _welcome_values(lead, identity) if kind == "welcome" else _alert_values(lead, identity)
    text = TEMPLATES.get_template(f"{kind}.txt").render(values)
    html = TEMPLATES.get_template(f"{kind}.html").render(values)
    try:
        content = build_mime_message(headers, text, html, utf8=smtputf8)
    except HeaderInjectionError as error:
        raise UndeliverableError(Reason.HEADERS_INVALID) from error
    return Mail(identity.from_email, tuple(address.spec for address in addresses), content, smtputf8)


def sender_header(identity: Identity) -> str:
    """Return the value of the header From."""
    return _mailbox(identity.sender_name, identity.from_email)


@lru_cache(maxsize=64)
def _mailbox(name: str, address: str) -> str:
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


def _subject(kind: Kind, lead: LeadReceived, identity: Identity) -> str:
    if kind == "welcome":
        return f"Thank you for contacting {identity.sender_name}"
    return alert_subject(lead.lead_id)


def _welcome_values(lead: LeadReceived, identity: Identity) -> dict[str, object]:
    return {
        "name": greeting_name(lead.name or ""),
        "sender_name": identity.sender_name,
        "reference": lead_reference(lead.lead_id),
        "replies_are_read": bool(identity.reply_to),
    }


def _alert_values(lead: LeadReceived, identity: Identity) -> dict[str, object]:
    return {
        "fields": labelled_fields(lead),
        "email": lead.email if lead.email and parse_address(lead.email) else "",
        "message": visible_text(lead.message),
        "lead_id": str(lead.lead_id),
        "reference": lead_reference(lead.lead_id),
        "site": visible_text(lead.site),
        "received_at": f"{lead.occurred_at:%Y-%m-%d %H:%M} UTC",
        "sender_name": identity.sender_name,
        "url": f"{identity.admin_url.rstrip('/')}/leads/{lead.lead_id}" if identity.admin_url else "",
    }
