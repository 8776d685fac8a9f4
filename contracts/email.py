"""`Email`: the type of the field that holds a lead's email address."""

import re
from typing import Annotated, Final

from pydantic import EmailStr, ValidatorFunctionWrapHandler, WrapValidator

# Matches most addresses that email-validator accepts without a change. Matching takes 1 us, email-validator
# takes 34 us, and the rest of a lead 12 us. These addresses do not match: those longer than a local part may
# be (64), double hyphens (international domains), and capitals, which email-validator changes in a domain.
_PLAIN: Final = re.compile(
    r"[a-z0-9_+-]+(?:\.[a-z0-9_+-]+)*@(?:[a-z0-9]+(?:-[a-z0-9]+)*\.)+"
    r"(?!(?:arpa|invalid|local|localhost|onion|test)$)[a-z]{2,}"
)
_PLAIN_MAX: Final = 64


def is_plain(address: str) -> bool:
    """Return True if a fast pattern proves that the address is valid.

    If it returns False, the address may still be valid: call the full validator.
    """
    return len(address) <= _PLAIN_MAX and _PLAIN.fullmatch(address) is not None


def _validate_fast(value: object, validate: ValidatorFunctionWrapHandler) -> str:
    if isinstance(value, str) and is_plain(value):
        return value
    address: str = validate(value)
    return address


Email = Annotated[EmailStr, WrapValidator(_validate_fast)]
"""Equivalent to pydantic's `EmailStr`, but faster. A property test compares the two."""
