"""Decides whether failed emails have one common cause: for the notifier, the dashboard and the alerts.

An email fails if a server refuses it, defers it or returns it later, or if its outcome is unknown. A spam
complaint is no failure, because the email arrived.
"""

from typing import Final

FAILED_STATES: Final = ("dead", "waiting", "unknown", "bounced")
"""States in `email_delivery` of an email that failed at its last attempt."""
MIN_FAILED: Final = 5
"""With fewer failed emails of one kind, mistyped addresses may be the cause."""
NEWEST: Final = 5
"""How many of the newest emails of one kind say whether emails still fail."""


def still_fail(failed: int, newest_failed: int) -> bool:
    """Return True if emails of one kind fail and have not recovered.

    `failed` counts the failed emails of the period. `newest_failed` counts the failed ones among the newest
    `NEWEST` (5) emails. So emails have recovered once three in a row were sent.
    """
    return failed >= MIN_FAILED and 2 * newest_failed > NEWEST
