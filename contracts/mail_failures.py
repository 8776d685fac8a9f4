"""When many failed emails are one fault. The notifier, the dashboard and the alerts agree on these numbers.

An email fails if a server refuses it, now or later, or defers it, or if its outcome is unknown. A complaint
of its recipient is no failure: the email arrived.
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

    `failed` counts the failed emails of the period. `newest_failed` counts those among the `NEWEST` emails.
    After three emails in a row that were sent, the fault is over.
    """
    return failed >= MIN_FAILED and 2 * newest_failed > NEWEST
