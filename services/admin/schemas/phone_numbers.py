"""Phone numbers as people write them, and the digits by which they are compared."""

import re
import unicodedata


def ascii_phone(text: str) -> str:
    """Return a phone number as it is dialled: ASCII digits and hyphens, without `tel:` and invisible marks.

    Other characters stay, so that the caller can see whether the text is a phone number.
    """
    characters = list[str]()
    for character in unicodedata.normalize("NFKC", text):
        category = unicodedata.category(character)
        if category == "Nd":
            characters.append(str(unicodedata.decimal(character)))
        elif category != "Cf":
            characters.append("-" if category == "Pd" else character)
    return "".join(characters).removeprefix("tel:")


def phone_digits(phone: str) -> str:
    """Return the digits of a phone number, without the (0) that is not dialled from abroad."""
    return re.sub("[^0-9]", "", ascii_phone(phone).replace("(0)", ""))


def phone_ending(phone: str | None) -> str | None:
    """Return the last nine digits of a phone number, by which its spellings are compared.

    `+44 20 7946 0958` and `020 7946 0958` have the same ones. Returns None for fewer than seven digits: they
    may be an extension.
    """
    digits = phone_digits(phone or "")
    return digits[-9:] if len(digits) >= 7 else None
