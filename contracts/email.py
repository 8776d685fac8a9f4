"""An email address as a lead may have it. What is done with it lives elsewhere."""

import re
from typing import Annotated, Final

from pydantic import EmailStr, ValidatorFunctionWrapHandler, WrapValidator

# What email-validator accepts and leaves as it is, and what most people have: 1 us instead of 34, when the
# whole rest of a lead takes 12. No longer than a local part may be (64), so nothing in it is
# too long; no two hyphens, which begin an international domain; no capital, which a domain loses.
_PLAIN: Final = re.compile(
    r"[a-z0-9_+-]+(?:\.[a-z0-9_+-]+)*@(?:[a-z0-9]+(?:-[a-z0-9]+)*\.)+"
    r"(?!(?:arpa|invalid|local|localhost|onion|test)$)[a-z]{2,}"
)
_PLAIN_MAX: Final = 64


def is_plain(address: str) -> bool:
    """Return True where email-validator takes it and leaves it as it is, as most; False says nothing."""
    return len(address) <= _PLAIN_MAX and _PLAIN.fullmatch(address) is not None


def _plain_first(value: object, validate: ValidatorFunctionWrapHandler) -> str:
    if isinstance(value, str) and is_plain(value):
        return value
    address: str = validate(value)
    return address


Email = Annotated[EmailStr, WrapValidator(_plain_first)]
"""Pydantic's `EmailStr`, quickly. A property test holds the two together."""
