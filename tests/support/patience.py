"""How much longer than on a quiet machine a wait may take: for runs beside other work."""

import os

VARIABLE = "FASTCORE_TEST_PATIENCE"


def factor() -> float:
    """Return the factor, at least 1. Raises `ValueError` if the variable is no number."""
    return max(1.0, float(os.environ.get(VARIABLE) or 1))


def patient(seconds: float) -> float:
    """Return the bound of a wait that takes at most `seconds` on a quiet machine."""
    return seconds * factor()
