"""The columns of the list of leads, and which of them a person has chosen. No I/O.

A cookie stores the choice. So no database query is needed, and a person can choose other columns in another
browser, for example on a smaller screen. The choice is not personal data.
"""

from typing import Final, Literal

from services.admin.texts import gettext_noop

ColumnName = Literal["company", "service", "status", "assignee", "received", "site", "phone", "updated"]
COLUMNS: Final[dict[ColumnName, str]] = {
    "company": gettext_noop("Company"),
    "service": gettext_noop("Service"),
    "site": gettext_noop("Site"),
    "phone": gettext_noop("Phone"),
    "status": gettext_noop("Status"),
    "assignee": gettext_noop("Assignee"),
    "received": gettext_noop("Received"),
    "updated": gettext_noop("Last change"),
}
USUAL_COLUMNS: Final[tuple[ColumnName, ...]] = ("company", "service", "status", "assignee", "received")
COLUMNS_COOKIE: Final = "fastcore_columns"
# The longest time for which browsers keep a cookie.
COOKIE_SECONDS: Final = 400 * 86400
# The first part of the cookie, so that it is not empty if only the lead's name is shown.
_LEAD: Final = "lead"
_SEPARATOR: Final = "."


def read_columns(cookie: str | None) -> tuple[ColumnName, ...]:
    """Return the chosen columns in the order of `COLUMNS`.

    Return the default columns if the cookie is missing or invalid.
    """
    names = (cookie or "").split(_SEPARATOR)
    if names[0] != _LEAD:
        return USUAL_COLUMNS
    return tuple(name for name in COLUMNS if name in names)


def columns_cookie(chosen: tuple[ColumnName, ...]) -> str:
    """Return the value of the cookie that stores the chosen columns."""
    return _SEPARATOR.join((_LEAD, *(name for name in COLUMNS if name in chosen)))
