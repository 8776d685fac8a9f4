"""What the two mails say, as the bytes that go over the wire. Pure: `now` is an argument, nothing is sent.

Nothing that a visitor typed may enter a header but the validated address of the welcome.
"""

import json
import re
import unicodedata
from dataclasses import dataclass
from datetime import datetime
from email.headerregistry import Address
from email.utils import format_datetime
from functools import lru_cache
from typing import Final
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from contracts.failures import Kind
from contracts.leads import LeadReceived
from services.notifier.mail.address import Address as Recipient
from services.notifier.mail.address import parse_address
from services.notifier.mail.greeting import greeting_name
from services.notifier.mail.mime import NotAsMeantError, write

_NOTHING_TO_CLEAN: Final = re.compile(r"[ -~\n\t]*")


def _urlquote(value: str) -> str:
    return quote(value, safe="@")


_TEMPLATES: Final = Environment(
    loader=PackageLoader("services.notifier.mail"),
    autoescape=select_autoescape(["html"]),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    auto_reload=False,  # it would ask the disk for each template of each mail
)
_TEMPLATES.filters["urlquote"] = _urlquote


class Undeliverable(Exception):
    """The mail can never be sent as it is: its delivery is dead. `reason` is our own word."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True)
class Identity:
    """Who we are in our mails. The addresses are validated by the settings."""

    from_email: str
    sender_name: str
    admins: tuple[str, ...]
    admin_url: str = ""


@dataclass(frozen=True)
class Mail:
    """One mail, ready for the wire: envelope and bytes."""

    sender: str
    recipients: tuple[str, ...]
    content: bytes
    smtputf8: bool


def message_id(lead: LeadReceived, kind: Kind, from_email: str) -> str:
    """Name a mail by its lead and kind: a repeat has the same name, and mailboxes can fold it."""
    return f"<{lead.lead_id}.{kind}@{from_email.rpartition('@')[2]}>"


def compose(kind: Kind, lead: LeadReceived, identity: Identity, now: datetime) -> Mail:
    """Write one mail. Raises `Undeliverable`."""
    addresses = _recipients(kind, lead, identity)
    smtputf8 = not identity.from_email.isascii() or any(address.smtputf8 for address in addresses)
    headers = {
        "Date": format_datetime(now),
        "From": _sender(identity),
        "To": ", ".join(address.spec for address in addresses),
        "Subject": _subject(kind, lead, identity),
        "Message-ID": message_id(lead, kind, identity.from_email),
        # RFC 3834: no out-of-office answers to this.
        "Auto-Submitted": "auto-generated",
    }
    values = _welcome(lead, identity) if kind == "welcome" else _alert(lead, identity)
    text = _TEMPLATES.get_template(f"{kind}.txt").render(values)
    html = _TEMPLATES.get_template(f"{kind}.html").render(values)
    try:
        content = write(headers, text, html, utf8=smtputf8)
    except NotAsMeantError as wrong:
        raise Undeliverable("headers are not as meant") from wrong
    return Mail(identity.from_email, tuple(address.spec for address in addresses), content, smtputf8)


@lru_cache(maxsize=1)
def _sender(identity: Identity) -> str:
    local, _, domain = identity.from_email.rpartition("@")
    return str(Address(identity.sender_name, local, domain))


def _recipients(kind: Kind, lead: LeadReceived, identity: Identity) -> list[Recipient]:
    to = (lead.email,) if kind == "welcome" else identity.admins
    addresses = [address for each in to if (address := parse_address(each))]
    if not addresses:
        raise Undeliverable("address is not valid")
    return addresses


def _subject(kind: Kind, lead: LeadReceived, identity: Identity) -> str:
    if kind == "welcome":
        return f"Thank you for contacting {identity.sender_name}"
    return f"New lead {_reference(lead)}"


def _reference(lead: LeadReceived) -> str:
    # The last digits: the first ones of a UUIDv7 are the time, which neighbours share.
    return str(lead.lead_id)[-8:]


def clean(value: str) -> str:
    """Drop what can hide or turn text: control, format and bidirectional characters. Lines stay."""
    if _NOTHING_TO_CLEAN.fullmatch(value):  # most of it, and 50 us to look at char by char
        return value.strip()
    kept = (
        char
        for char in value.replace("\r\n", "\n").replace("\r", "\n")
        if char in "\n\t" or unicodedata.category(char) not in ("Cc", "Cf", "Cs", "Zl", "Zp")
    )
    return "".join(kept).strip()


def _welcome(lead: LeadReceived, identity: Identity) -> dict[str, object]:
    return {
        "name": greeting_name(lead.name),
        "sender_name": identity.sender_name,
        "reference": _reference(lead),
    }


def _shown(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _alert(lead: LeadReceived, identity: Identity) -> dict[str, object]:
    source = lead.source.model_dump(exclude_none=True) if lead.source else {}
    fields = {
        "Name": lead.name,
        "Email": lead.email,
        "Phone": lead.phone,
        "Company": lead.company,
        "Service": lead.service,
        "Locale": lead.locale,
        "Consent": None if lead.consent is None else ("yes" if lead.consent else "no"),
        **{name.replace("_", " ").capitalize(): value for name, value in source.items()},
        # Marked, or a field of the form could stand in the place of one of ours.
        **{f"Extra {clean(name)[:100]}": _shown(value) for name, value in lead.extra.items()},
    }
    return {
        "fields": {name: clean(value) for name, value in fields.items() if value},
        "email": lead.email if parse_address(lead.email) else "",
        "message": clean(lead.message),
        "lead_id": str(lead.lead_id),
        "reference": _reference(lead),
        "site": clean(lead.site),
        "received_at": f"{lead.occurred_at:%Y-%m-%d %H:%M} UTC",
        "sender_name": identity.sender_name,
        "url": f"{identity.admin_url.rstrip('/')}/leads/{lead.lead_id}" if identity.admin_url else "",
    }
