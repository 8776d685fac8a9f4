"""Decides whether a welcome may contain the name that the visitor typed. No I/O.

A visitor can enter a stranger's address, and a message or a link instead of a name. Such a text must not be
sent to the stranger.
"""

import re
import unicodedata
from typing import Final

NAME_MAX: Final = 40
WORDS_MAX: Final = 5
WORD_MAX: Final = 20
# Scripts without spaces between words can fit a sentence into one word.
WIDE_MAX: Final = 12
# Characters between the parts of a name. A full stop may only follow an abbreviation ("Dr. J. R. Smith").
_JOINERS: Final = "'\u2019\u2018\u02bc\u2010\u2011-\u00b7\u30fb"
# They belong to words of Persian, Sinhala and other scripts.
_ZERO_WIDTH_JOINERS: Final = "\u200c\u200d"
_ABBREVIATION: Final = re.compile(r"\w{1,4}\.")
_LINK_WORDS: Final = frozenset({"www", "http", "https", "mailto"})


def greeting_name(value: str) -> str:
    """Return the name for the greeting.

    Returns an empty string for a name that could hold a link, a number or a message.
    """
    text = value if value.isascii() else _normalize(value)
    words = [word for each in text.split() if (word := each.strip(_ZERO_WIDTH_JOINERS))]
    name = " ".join(words)
    if not 0 < len(name) <= NAME_MAX or len(words) > WORDS_MAX:
        return ""
    if not name.isascii() and sum(unicodedata.east_asian_width(char) == "W" for char in name) > WIDE_MAX:
        return ""
    return name if all(word == "&" or _is_name_part(word) for word in words) and name[0] != "&" else ""


def _normalize(value: str) -> str:
    """Return the text in the form NFKC, without invisible characters. Changes no ASCII text."""
    return "".join(
        char
        for char in unicodedata.normalize("NFKC", value)
        if char in _ZERO_WIDTH_JOINERS or unicodedata.category(char) != "Cf"
    )


def _is_name_part(word: str) -> bool:
    if _ABBREVIATION.fullmatch(word):
        word = word.removesuffix(".")
    if len(word) > WORD_MAX or word.casefold() in _LINK_WORDS or unicodedata.category(word[0])[0] != "L":
        return False
    # Only letters and marks: no digits or dots of any script, no @, no symbols.
    return all(
        char in _JOINERS + _ZERO_WIDTH_JOINERS or unicodedata.category(char)[0] in "LM" for char in word
    )
