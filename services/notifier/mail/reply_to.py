"""Builds the header Reply-To of an alert, so that Reply in a mail program answers the lead. No I/O."""

import re
from base64 import b64encode
from collections.abc import Iterator
from typing import Final

from contracts.text import to_line, truncate
from runtime.mail_address import parse_address
from services.notifier.mail.answers import visible_text

NAME_MAX: Final = 80
_ATOMS: Final = re.compile(r"[A-Za-z0-9!#$%&'*+/?^_`{|}~ -]+")
# RFC 2047 limits an encoded word to 75 characters. 45 bytes are 60 in Base64, and 12 belong to its frame.
_WORD_BYTES: Final = 45


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
    if not line or "@" in line or "\uff20" in line or "=?" in line:
        return ""
    if _ATOMS.fullmatch(line):
        return line
    if line.isascii():
        escaped = line.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}"'
    return " ".join(f"=?utf-8?b?{b64encode(part).decode()}?=" for part in _pieces(line))


def _pieces(line: str) -> Iterator[bytes]:
    """Split a text into pieces for encoded words. No piece ends within a character."""
    piece = b""
    for char in line:
        encoded = char.encode(errors="replace")
        if len(piece) + len(encoded) > _WORD_BYTES:
            yield piece
            piece = b""
        piece += encoded
    yield piece
