"""Whether what a visitor typed as a name is fit for a greeting: a welcome may go to a stranger. Pure."""

import re
import unicodedata
from typing import Final

NAME_MAX: Final = 40
WORDS_MAX: Final = 5
WORD_MAX: Final = 20
# Scripts that are written without spaces put a sentence into what counts as a word here.
WIDE_MAX: Final = 12
# Between the parts of a name; a full stop only behind an abbreviation ("Dr. J. R. Smith").
_JOINERS: Final = "'\u2019\u2018\u02bc\u2010\u2011-\u00b7\u30fb"
_ABBREVIATION: Final = re.compile(r"\w{1,4}\.")
_OF_A_LINK: Final = frozenset({"www", "http", "https", "mailto"})


def greeting_name(value: str) -> str:
    """Return a name fit for a greeting; empty where it could carry a link, a number or a message."""
    text = "".join(
        char for char in unicodedata.normalize("NFKC", value) if unicodedata.category(char) != "Cf"
    )
    words = text.split()
    name = " ".join(words)
    if not 0 < len(name) <= NAME_MAX or len(words) > WORDS_MAX:
        return ""
    if sum(unicodedata.east_asian_width(char) == "W" for char in name) > WIDE_MAX:
        return ""
    return name if all(word == "&" or _is_part_of_name(word) for word in words) and name[0] != "&" else ""


def _is_part_of_name(word: str) -> bool:
    if _ABBREVIATION.fullmatch(word):
        word = word.removesuffix(".")
    if len(word) > WORD_MAX or word.casefold() in _OF_A_LINK or unicodedata.category(word[0])[0] != "L":
        return False
    # Letters and marks only: no digits, whatever the script, no dot of any kind, no @, no symbols.
    return all(char in _JOINERS or unicodedata.category(char)[0] in "LM" for char in word)
