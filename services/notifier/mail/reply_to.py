"""Builds the header Reply-To of an alert, so that Reply in a mail program answers the lead. No I/O."""

import re
from typing import Final

from contracts.text import to_line, truncate
from runtime.mail_address import parse_address
from services.notifier.mail.answers import visible_text
from services.notifier.mail.encoded_words import encode_phrase

NAME_MAX: Final = 80
_ATOMS: Final = re.compile(r"[A-Za-z0-9!#$%&'*+/?^_`{|}~ -]+")
# The at sign, its fullwidth form and its small form, which look alike.
_AT: Final = re.compile("[@\uff20\ufe6b]")


def reply_to_header(name: str, email: str, *, utf8: bool) -> str:
    """Return `Name <address>`, or only the address if the name must not be in a header.

    Returns an empty text if there is no valid address. An address that needs SMTPUTF8 is left out too if
    `utf8` is False, because the server might refuse the alert. The result is ASCII, unless the address needs
    SMTPUTF8.
    """
    address = parse_address(email) if email else None
    if address is None or (address.smtputf8 and not utf8):
        return ""
    shown = _display_name(name)
    return f"{shown} <{address.spec}>" if shown else address.spec


def _display_name(name: str) -> str:
    """Return the name as a phrase of RFC 5322, or an empty text.

    A mail program may show the name instead of the address, so a name with an @ is omitted: it could be
    another address. A name with an encoded word is omitted: some programs decode it and could read a line
    break (cpython #121650).
    """
    line = truncate(to_line(visible_text(name)), NAME_MAX)
    if not line or _AT.search(line) or "=?" in line:
        return ""
    if _ATOMS.fullmatch(line):
        return line
    if line.isascii():
        escaped = line.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}"'
    return " ".join(encode_phrase(line))
