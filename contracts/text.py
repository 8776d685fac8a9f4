"""Normalises text that visitors and websites send. No I/O.

Text is in Unicode normalisation form C (UAX #15), so that search and comparison find it however it was typed.
"""

import re
import unicodedata
from typing import Final

_LINE_END: Final = re.compile(r"\r\n?")
# VT, FF, NEL, LINE SEPARATOR and PARAGRAPH SEPARATOR break a line (Unicode, 5.8). Few programs show that.
_LINE_BREAKS: Final = "\v\f\x85\u2028\u2029"
_CONTROLS: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
_WHITESPACE: Final = "".join(chr(code) for code in range(0x3001) if chr(code).isspace())
# Formatting characters without a glyph. They are removed only at the ends of a text. Inside, a joiner is part
# of a word in Persian or Sinhala, or of an emoji.
_FORMATTING: Final = "".join(
    chr(code)
    for first, last in (
        (0x00, 0x1F),
        (0x7F, 0x9F),
        (0xAD, 0xAD),
        (0x61C, 0x61C),
        (0x180E, 0x180E),
        (0x200B, 0x200F),
        (0x202A, 0x202E),
        (0x2060, 0x206F),
        (0x2800, 0x2800),
        (0x3164, 0x3164),
        (0xFEFF, 0xFEFF),
        (0xFFA0, 0xFFA0),
        (0xFFF9, 0xFFFB),
    )
    for code in range(first, last + 1)
)
_TRIMMED: Final = _WHITESPACE + _FORMATTING
# Characters without a glyph that belong to the character before them: variation selectors, tags, fillers of
# Hangul.
_ATTACHED: Final = "".join(
    chr(code)
    for first, last in (
        (0x34F, 0x34F),
        (0x115F, 0x1160),
        (0x17B4, 0x17B5),
        (0x180B, 0x180F),
        (0xFE00, 0xFE0F),
        (0xE0000, 0xE01EF),
    )
    for code in range(first, last + 1)
)
_BLANK: Final = _TRIMMED + _ATTACHED
_PIECE: Final = 1000
_JOINER: Final = "\u200d"
_INVISIBLE: Final = re.compile(f"[{re.escape(_FORMATTING)}]+")


def is_blank(value: str) -> bool:
    """Return True if a text shows nothing: it is empty, or consists of blanks and invisible characters."""
    stripped = value.strip()
    if not stripped or (stripped.isascii() and stripped.isprintable()):
        return not stripped
    return not value.strip(_BLANK)


def _normalize(value: str) -> str:
    """Return a text in NFC, in time that is proportional to its length.

    Python's normalisation takes quadratic time for a long run of combining marks. So a long text is
    normalised in pieces. A piece ends before an ASCII character, because such a character never combines with
    the text before it. A piece without an ASCII character is cut at its maximum length.
    """
    if len(value) <= _PIECE:
        return unicodedata.normalize("NFC", value)
    pieces, start = [], 0
    while start < len(value):
        end = start + _PIECE
        while end > start + 1 and end < len(value) and not value[end].isascii():
            end -= 1
        if end == start + 1 and end < len(value):
            end = start + _PIECE
        pieces.append(unicodedata.normalize("NFC", value[start:end]))
        start = end
    return "".join(pieces)


def replace_surrogates(value: str) -> str:
    """Return the text without surrogates, so that UTF-8 can encode it.

    Two surrogates that form a pair become one character. A lone surrogate becomes U+FFFD.
    """
    return value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def to_text(value: str) -> str:
    """Return a text in NFC. LF, CR and CRLF stay. Any other line break becomes LF.

    Removes NUL, which PostgreSQL cannot store.
    """
    if not value.isascii():
        value = _normalize(value)
        if value.isprintable():  # implies that there is neither a surrogate nor a control character
            return value
        try:
            value.encode()
        except UnicodeEncodeError:
            value = replace_surrogates(value)
    for char in _LINE_BREAKS:
        if char in value:
            value = value.replace(char, "\n")
    return value.replace("\x00", "")


def to_line(value: str) -> str:
    """Return a text as one line in NFC, without blanks and invisible characters at its ends.

    Control characters and line breaks inside the line become blanks. Returns an empty text if
    `is_blank(value)`.
    """
    if value.isascii() and value.isprintable():
        return value.strip()
    value = _normalize(value)
    if not value.isprintable():
        value = _CONTROLS.sub(" ", to_text(value))
    return "" if is_blank(value) else value.strip(_TRIMMED)


def with_lf(value: str) -> str:
    """Return the text with LF in place of every other line end."""
    return _LINE_END.sub("\n", value)


def without_invisible(value: str) -> str:
    """Return a text without invisible characters, and without blanks at its ends.

    Blanks inside the text stay. If they were removed, "write to ada@example.com" would become an address.
    """
    return _INVISIBLE.sub("", value).strip(_TRIMMED)


def truncate(value: str, maximum: int) -> str:
    """Return at most the first `maximum` code points of a text.

    The cut does not separate a character from its accents or variation selectors, or the parts of a joined
    emoji from each other. Only a group of more than 32 code points is cut inside.
    """
    if len(value) <= maximum:
        return value
    end = maximum
    while end > max(0, maximum - 32) and (_is_attached(value[end]) or value[end - 1] == _JOINER):
        end -= 1
    return value[: end if end > max(0, maximum - 32) else maximum]


def _is_attached(char: str) -> bool:
    return unicodedata.category(char).startswith("M") or char == _JOINER or char in _ATTACHED
