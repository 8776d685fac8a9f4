"""Composes an email to the team that lists several leads (a digest). No I/O.

Such an email has no Reply-To: a reply can go to one lead only, so the list has each lead's address.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from email.utils import format_datetime
from typing import Any, Final

from contracts.reasons import Reason
from contracts.text import to_line, truncate
from services.notifier.mail.answers import visible_text
from services.notifier.mail.languages import Language
from services.notifier.mail.message import (
    Identity,
    Mail,
    UndeliverableError,
    sender_header,
    valid_addresses,
)
from services.notifier.mail.mime import HeaderInjectionError, build_mime_message
from services.notifier.mail.provider_headers import provider_headers

_LINE_MAX: Final = 120


def compose_digest(
    name: str,
    values: Mapping[str, Any],
    identity: Identity,
    language: Language,
    now: datetime,
    *,
    recipients: Iterable[str],
    message_id: str,
) -> Mail:
    """Compose the digest that the templates `name` make of these values.

    Raises `UndeliverableError` if a header is invalid, or if no address is valid.
    """
    addresses = valid_addresses(recipients)
    smtputf8 = any(address.smtputf8 for address in addresses) or not identity.is_ascii
    subject, text, html = identity.templates.render(name, values, language)
    headers = {
        "Date": format_datetime(now),
        "From": sender_header(identity),
        "To": ", ".join(address.spec for address in addresses),
        "Subject": subject,
        "Message-ID": message_id,
        # RFC 3834: suppresses out-of-office replies.
        "Auto-Submitted": "auto-generated",
        # The part of the Message-ID before the @ is the tag.
        **provider_headers(identity.smtp_host, message_id[1:].partition("@")[0]),
    }
    try:
        content = build_mime_message(headers, text, html, utf8=smtputf8)
    except HeaderInjectionError as error:
        raise UndeliverableError(Reason.HEADERS_INVALID) from error
    return Mail(identity.from_email, tuple(address.spec for address in addresses), content, smtputf8)


def digest_message_id(digest_id: object, name: str, from_email: str) -> str:
    """Return the Message-ID of a digest. A repeated digest has the same one, for mailboxes to deduplicate."""
    return f"<{digest_id}.{name}@{from_email.rpartition('@')[2]}>"


def one_line(value: str) -> str:
    """Return what a visitor typed as one short line."""
    return truncate(to_line(visible_text(value)), _LINE_MAX)
