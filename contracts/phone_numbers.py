"""Phone numbers as people write them, and the digits that are compared."""

import re
import unicodedata


def ascii_phone(text: str) -> str:
    """Return a phone number with ASCII digits and hyphens, without `tel:` and invisible characters.

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
    """Return the digits of a phone number, without a "(0)", which is not dialled from abroad."""
    return re.sub("[^0-9]", "", ascii_phone(phone).replace("(0)", ""))


def phone_ending(phone: str | None) -> str | None:
    """Return the last nine digits of a phone number, which are the same for all ways to write the number.

    For example, `+44 20 7946 0958` and `020 7946 0958` have the same last nine digits. A number with seven or
    eight digits is returned whole. Returns None for a shorter number, which may be an extension.
    """
    digits = phone_digits(phone or "")
    return digits[-9:] if len(digits) >= 7 else None
