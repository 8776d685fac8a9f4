"""The columns of the list of leads, and which of them a person has chosen. No I/O.

The choice is in a cookie: it is no personal data, costs no query, and another browser, whose screen may have
another size, has a choice of its own.
"""

from typing import Final, Literal

ColumnName = Literal["company", "service", "status", "assignee", "received", "site", "phone", "updated"]
COLUMNS: Final[dict[ColumnName, str]] = {
    "company": "Company",
    "service": "Service",
    "site": "Site",
    "phone": "Phone",
    "status": "Status",
    "assignee": "Assignee",
    "received": "Received",
    "updated": "Last change",
}
USUAL_COLUMNS: Final[tuple[ColumnName, ...]] = ("company", "service", "status", "assignee", "received")
COLUMNS_COOKIE: Final = "fastcore_columns"
# The longest time for which browsers keep a cookie.
COOKIE_SECONDS: Final = 400 * 86400
# The first part of the cookie, so that it is not empty if only the lead's name is shown.
_LEAD: Final = "lead"
_SEPARATOR: Final = "."


def read_columns(cookie: str | None) -> tuple[ColumnName, ...]:
    """Return the chosen columns in their order; the usual ones without a valid cookie."""
    names = (cookie or "").split(_SEPARATOR)
    if names[0] != _LEAD:
        return USUAL_COLUMNS
    return tuple(name for name in COLUMNS if name in names)


def columns_cookie(chosen: tuple[ColumnName, ...]) -> str:
    """Return the value of the cookie for a choice."""
    return _SEPARATOR.join((_LEAD, *(name for name in COLUMNS if name in chosen)))
