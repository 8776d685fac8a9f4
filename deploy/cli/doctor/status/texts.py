"""The words of the status. No I/O."""

import re
from datetime import UTC, datetime
from typing import Final

from contracts.reasons import Reason

_ADDRESS: Final = re.compile(r"[^\s<>@\"'(),;]+@[^\s<>@\"'(),;]+")
_UNITS: Final = ((86400, "d"), (3600, "h"), (60, "min"))


def without_addresses(text: str) -> str:
    """Return the text with each email address replaced. A mail server's reply may quote one."""
    return _ADDRESS.sub("(address)", text)


def queue_reason(reason: str) -> str:
    """Return the reason of a failed record, or a placeholder if FASTCore does not write such a reason.

    Whoever can write to Kafka can write any text there, also personal data.
    """
    return reason if Reason.match(reason) else "(a reason that docs/reasons.md does not list)"


def duration(seconds: float) -> str:
    """Return a duration in its largest unit, such as `3 min`."""
    for size, unit in _UNITS:
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(0.0, seconds):.0f} s"


def moment(at: datetime) -> str:
    """Return `2026-01-31 12:00:00 UTC (3 min ago)`."""
    seconds = (datetime.now(UTC) - at).total_seconds()
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC ({duration(seconds)} ago)"


def since(at: datetime | None) -> str:
    """Return `, since` and the moment, or nothing if the time is unknown."""
    return f", since {moment(at)}" if at else ""


def since_text(at: object) -> str:
    """Return the same for a time in a JSON document."""
    try:
        return since(datetime.fromisoformat(str(at)))
    except ValueError:
        return ""
