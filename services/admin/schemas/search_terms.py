"""Turns the text in the search box into the parameters of a query.

The text is split into terms. A lead matches if it contains every term. The SQL function `search_patterns`
(migration 0015) turns the terms into LIKE patterns. Both the patterns and the leads' texts are normalised, so
that case, accents and apostrophes do not matter.
"""

import re
from itertools import groupby
from typing import Any, Final
from uuid import UUID

from contracts.phone_numbers import ascii_phone, phone_digits

# The number of terms in `lead_filter.sql`. Of a longer search the longest words count: they are the rarest.
MAX_TERMS: Final = 6
# Fewer digits are no phone number.
MIN_PHONE_DIGITS: Final = 3
# Country codes (ITU-T E.164): two have one digit, these have two, all others three.
_COUNTRY_CODE: Final = re.compile(r"1|7|2[07]|3[0-469]|4[013-9]|5[1-8]|6[0-6]|8[1246]|9[0-58]|\d{3}")
_PHONE: Final = re.compile(r"\+?[0-9\s()./-]+")
_PHONE_BEGINNING: Final = ("+", "0", "(")
# Words have at least three characters if an index is to find them anywhere (migration 0015).
_MIN_WORD: Final = 3
# The prefixes of international calls (ITU-T E.164): Australia's, most countries', North America's, Russia's.
# National numbers may begin with 011 or 810 too, but they are shorter.
_INTERNATIONAL_PREFIX: Final = re.compile(r"0011|00|(?:011|810)(?=\d{10})")
# The trunk prefix of Russia and its neighbours, with a second one in Belarus, before ten digits of a number.
_TRUNK_PREFIX_8: Final = re.compile(r"80?(?=\d{9,10}$)")
# An E.164 number has at most 15 digits. A prefix has at most four.
MAX_PHONE_DIGITS: Final = 19
# National numbers have fewer digits, so a longer one may begin with a country code without + or 00.
MIN_INTERNATIONAL_DIGITS: Final = 11
# German umlauts in ASCII: ae, oe, ue before another letter; not the ue of `neue`, `bauen` and `quer`.
_DIGRAPH: Final = re.compile(r"([ao]|(?<![aeq])u)e(?=\w)", re.IGNORECASE)
# Shorter parts would be in too many other words.
_MIN_UMLAUT_WORD: Final = 5
# People quote words for other search engines. Apostrophes are removed by the SQL function.
_QUOTES: Final = '"“”„«»'
_ID: Final = re.compile(r"[0-9a-f]{8}[0-9a-f-]{0,28}")

NO_SEARCH: Final[dict[str, Any]] = dict.fromkeys(
    [
        *(f"term_{number}" for number in range(1, MAX_TERMS + 1)),
        "reference",
        "first_id",
        "last_id",
        "request_id",
    ]
)


def search_parameters(search: str) -> dict[str, Any]:
    """Return the SQL parameters of a search.

    `term_1` to `term_6` are lists of texts. A lead must contain at least one text of each list.

    `reference`, `first_id` and `last_id` are set if the search may be a lead's id, the beginning of an id, or
    the reference in emails (the last 8 characters of an id). `request_id` is set if the search may be the id
    of a request.
    """
    text = " ".join(search.split())
    words = sorted(_join_phone_numbers(text.split()), key=len, reverse=True)
    # Ignore words without a letter or digit: no index finds them.
    words = [word for word in words if any(map(str.isalnum, word))] or words
    terms = [_texts(word) for word in words[:MAX_TERMS]] or [[]]  # nothing but control characters
    numbered = {f"term_{number}": term for number, term in enumerate(terms, 1)}
    return NO_SEARCH | numbered | _id_parameters(text.lower()) | _request_id(text)


def _join_phone_numbers(words: list[str]) -> list[str]:
    """Join successive words that are one phone number, and return all words."""
    joined = list[str]()
    for in_number, group in groupby(words, lambda word: bool(_PHONE.fullmatch(ascii_phone(word)))):
        run = list(group)
        joined += [" ".join(run)] if in_number and _is_one_number(run) else run
    return joined


def _is_one_number(words: list[str]) -> bool:
    """Return True if successive words of digits are one phone number, and False if each is a term of its own.

    Words with three digits or more need not be joined: they are found as parts of any phone number.
    """
    counts = [sum(map(str.isdecimal, word)) for word in words]
    digits, short = sum(counts), sum(0 < count < _MIN_WORD for count in counts)
    if digits > MAX_PHONE_DIGITS or not _is_phone(text := ascii_phone(" ".join(words))):
        return False
    begins = text.lstrip("-/. ").startswith(_PHONE_BEGINNING)
    # Two short words of eight digits, or one of nine: `12 34 56 78`, `30 123 4567`.
    return begins or digits >= MIN_INTERNATIONAL_DIGITS or (short > 0 and digits + short >= 10)


def _is_phone(text: str) -> bool:
    return bool(_PHONE.fullmatch(text)) and sum(map(str.isdecimal, text)) >= MIN_PHONE_DIGITS


def _texts(term: str) -> list[str]:
    """Return a term, followed by other texts that a matching lead may contain instead.

    For a phone number, these are the forms in which its digits may be stored. For a word such as `mueller`,
    it is `muller`, which is the normalised form of `Müller`.
    """
    phone = ascii_phone(term)
    digits = _spellings(phone) if _is_phone(phone) else []
    bare = term.strip(_QUOTES)
    umlauts = _DIGRAPH.sub(r"\1", bare) if len(bare) >= _MIN_UMLAUT_WORD else bare
    if bare and umlauts != term:
        return list(dict.fromkeys([term, bare, umlauts]))
    return list(dict.fromkeys([term, *(each for each in digits if len(each) >= MIN_PHONE_DIGITS)]))


def _spellings(phone: str) -> list[str]:
    """Return the digits of a phone number in the forms in which a lead may have them."""
    digits = phone_digits(phone)
    prefix = None if phone.startswith("+") else _INTERNATIONAL_PREFIX.match(digits)
    if phone.startswith("+") or prefix:
        international = digits[prefix.end() :] if prefix else digits
    elif len(digits) >= MIN_INTERNATIONAL_DIGITS and not digits.startswith("0"):
        international = digits
    else:
        return [digits, digits.removeprefix("0")]
    # The lead may have the national number.
    spellings = [international, _COUNTRY_CODE.sub("", international, count=1)]
    if international == digits and not phone.startswith("+") and (trunk := _TRUNK_PREFIX_8.match(digits)):
        spellings.append(digits[trunk.end() :])
    return spellings


def _request_id(text: str) -> dict[str, Any]:
    """Return the SQL parameter for a request id, if the text can be one: a single word with a digit.

    The case of the text is kept, because request ids are compared exactly.
    """
    return {"request_id": text} if " " not in text and any(map(str.isdecimal, text)) else {}


def _id_parameters(text: str) -> dict[str, Any]:
    if not _ID.fullmatch(text) or len(digits := text.replace("-", "")) > 32:
        return {}
    return {
        "reference": text,
        "first_id": UUID(digits.ljust(32, "0")),
        "last_id": UUID(digits.ljust(32, "f")),
    }
