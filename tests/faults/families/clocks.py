"""The clock of one service steps, runs at another speed, or passes midnight or the end of a month.

Each service has a clock of its own (libfaketime), so the others and the servers disagree with it. The
monotonic clock does not change, as on a real machine. Leads are kept for thirty days, and the audit log is
sealed.
"""

import calendar
import random
from datetime import UTC, datetime, timedelta
from typing import Final

from tests.faults.environment import Action
from tests.faults.injections.clock_faults import OVER_AN_HOUR, missing_faketime
from tests.faults.installations.clocks import ClockEnvironment, drifted, stepped
from tests.faults.installations.rounds import Described, make_family

_BEFORE_SECONDS: Final = 3
_YEAR: Final = timedelta(days=366)


def _to_midnight(now: datetime, _rng: random.Random) -> float:
    """Return the step after which the next midnight is some seconds away."""
    midnight = datetime.combine(now.date() + timedelta(days=1), datetime.min.time(), UTC)
    return (midnight - now).total_seconds() - _BEFORE_SECONDS


def _to_end_of_month(now: datetime, rng: random.Random) -> float:
    last = calendar.monthrange(now.year, now.month)[1]
    return _to_midnight(now, rng) + timedelta(days=last - now.day).total_seconds()


def _described(action: Action, text: str) -> Described:
    return Described(action, text, ClockEnvironment.build_with_clocks, missing_faketime)


FAMILY = make_family(
    "clocks",
    {
        "steps forward": _described(
            stepped(lambda _now, _rng: OVER_AN_HOUR), "over an hour, then back again"
        ),
        "steps back": _described(
            stepped(lambda _now, _rng: -OVER_AN_HOUR), "over an hour, then forward again"
        ),
        "steps forward a year": _described(
            stepped(lambda _now, _rng: _YEAR.total_seconds()), "as after a dead battery or a bad time server"
        ),
        "steps back a year": _described(
            stepped(lambda _now, _rng: -_YEAR.total_seconds()), "the other way round"
        ),
        "flusher a year ahead": _described(
            stepped(lambda _now, _rng: _YEAR.total_seconds(), ("flusher",), 15),
            "for long enough that its daily jobs run: every lead is older than thirty days to it",
        ),
        "midnight": _described(
            stepped(_to_midnight), "it steps to some seconds before midnight, and passes it"
        ),
        "end of a month": _described(
            stepped(_to_end_of_month), "the same with the last midnight of the month"
        ),
        "runs too fast": _described(drifted(1.1), "a tenth faster than the others"),
        "runs too slowly": _described(drifted(0.9), "a tenth slower than the others"),
    },
    bound_seconds=240,
    quick=[("flusher a year ahead",)],
)
