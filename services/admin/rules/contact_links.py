"""Links to email or call a lead: `mailto:` (RFC 6068) and `tel:` (RFC 3966). No I/O.

Browsers pass these links to a mail program or a phone, so their personal data reaches no server's log.
"""

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from urllib.parse import quote

from contracts.leads import alert_subject, lead_reference
from contracts.text import truncate, with_lf
from runtime.sites.model import Sites
from runtime.sites.reply import FIELDS, render_reply
from services.admin.schemas.lead_edits import QueuedLead
from services.admin.schemas.leads import Lead
from services.admin.schemas.phone_numbers import ascii_phone, phone_digits

# Mail programs and browsers refuse a longer link: Windows passes about 2,080 characters to a program.
MAILTO_MAX: Final = 2000
SUBJECT_MAX: Final = 400
_CUT: Final = " […]"
# The digits, the usual separators, and an extension.
_PHONE: Final = re.compile(
    r"(?P<number>\+?[0-9\s()./-]+?)\s*"
    r"(?:(?:;ext=|,?\s*(?:ext(?:ension)?\.?|x|#))\s*(?P<extension>[0-9]{1,7}))?",
    re.IGNORECASE,
)
# Emergency and service numbers have three digits, international ones at most fifteen (E.164).
_DIGITS_MIN, _DIGITS_MAX = 3, 15


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


def mailto_url(email: str) -> str:
    """Return the link that opens a new email to an address."""
    return f"mailto:{quote(email, safe='@')}"


def reply_url(
    lead: Lead | QueuedLead, email: str, received_at: datetime | None, subject: str = "", body: str = ""
) -> str:
    """Return the link that opens a reply. The lead's message is quoted below `body`.

    By default, the subject is that of the team notification. Subject, body and quote are shortened if
    necessary, so that the link has at most `MAILTO_MAX` characters.
    """
    subject = _cut(" ".join(subject.split()) or f"Re: {alert_subject(lead.id)}", SUBJECT_MAX)
    begin = f"{mailto_url(email)}?subject={_encode(subject)}"
    text = body.rstrip()
    if lead.message:
        writer = f"{lead.name or email}, {received_at:%Y-%m-%d}" if received_at else lead.name or email
        quoted = "\n".join(f"> {line}" for line in with_lf(lead.message).split("\n"))
        text += f"\n\n{writer}:\n{quoted}"
    if not text:
        return begin
    begin += "&body="
    # RFC 6068, section 5: line breaks in a body are CRLF.
    return begin + _encode(_cut(with_lf(text).replace("\n", "\r\n"), MAILTO_MAX - len(begin)))


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


def _encode(text: str) -> str:
    return quote(text, safe="")


def _cut(text: str, room: int) -> str:
    """Return the text, or its beginning if the encoded text has more than `room` characters."""
    if len(text) <= room and len(_encode(text)) <= room:
        return text
    room -= len(_encode(_CUT))
    for position, char in enumerate(text):
        room -= len(_encode(char))
        if room < 0:
            return truncate(text, position).rstrip() + _CUT
    return text + _CUT


def tel_url(phone: str) -> str | None:
    """Return the link that calls a phone number. Return None if the text is not exactly one number.

    A number without a country code is not changed, so a phone dials it as a number of the phone's own
    country. RFC 3966 requires a `phone-context` for such a number. The link omits the context, because it is
    unknown and phones do not need it.
    """
    match = _PHONE.fullmatch(ascii_phone(phone).strip())
    if match is None:
        return None
    number = match["number"]
    digits, is_global = phone_digits(number), number.startswith("+")
    if not is_global and digits.startswith("00"):  # the usual prefix of international calls (ITU-T E.164)
        digits, is_global = digits.removeprefix("00"), True
    if not _DIGITS_MIN <= len(digits) <= _DIGITS_MAX:
        return None
    extension = f";ext={match['extension']}" if match["extension"] else ""
    return f"tel:{'+' if is_global else ''}{digits}{extension}"
