"""Links to email or call a person: `mailto:` (RFC 6068) and `tel:` (RFC 3966). No I/O.

Browsers pass these links to a mail program or a phone. So their personal data reaches no server's log.
"""

import re
from typing import Final
from urllib.parse import quote

from contracts.phone_numbers import ascii_phone, phone_digits
from contracts.text import truncate, with_lf

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


def mailto_url(email: str) -> str:
    """Return the link that opens a new email to an address."""
    return f"mailto:{quote(email, safe='@')}"


def mailto_url_with(email: str, subject: str, body: str = "") -> str:
    """Return the link that opens a new email with a subject and a body.

    Both are shortened if necessary, so that the link has at most `MAILTO_MAX` characters.
    """
    begin = f"{mailto_url(email)}?subject={_encode(_cut(' '.join(subject.split()), SUBJECT_MAX))}"
    if not body:
        return begin
    begin += "&body="
    # RFC 6068, section 5: line breaks in a body are CRLF.
    return begin + _encode(_cut(with_lf(body).replace("\n", "\r\n"), MAILTO_MAX - len(begin)))


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
