"""The field type for the email address of a lead."""

import re
from typing import Annotated, Final

from pydantic import EmailStr, ValidatorFunctionWrapHandler, WrapValidator

# Addresses that email-validator accepts without a change. Most addresses match, and matching takes 1 us
# instead of 34 us; the rest of a lead takes 12 us. Excluded are addresses longer than the limit of a local
# part (64), so that no part is too long, double hyphens, which start an international domain, and capitals,
# which email-validator changes in a domain.
_PLAIN: Final = re.compile(
    r"[a-z0-9_+-]+(?:\.[a-z0-9_+-]+)*@(?:[a-z0-9]+(?:-[a-z0-9]+)*\.)+"
    r"(?!(?:arpa|invalid|local|localhost|onion|test)$)[a-z]{2,}"
)
_PLAIN_MAX: Final = 64


def is_plain(address: str) -> bool:
    """Return True if the address is certainly valid. False means: run the full validator."""
    return len(address) <= _PLAIN_MAX and _PLAIN.fullmatch(address) is not None


def _validate_fast(value: object, validate: ValidatorFunctionWrapHandler) -> str:
    if isinstance(value, str) and is_plain(value):
        return value
    address: str = validate(value)
    return address


Email = Annotated[EmailStr, WrapValidator(_validate_fast)]
"""Equivalent to pydantic's `EmailStr`, but faster. A property test compares the two."""
