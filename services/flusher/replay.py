"""When a lead is tried again, and when it is given up. Pure: no I/O, no clock, no chance of its own."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Literal
from uuid import UUID, uuid5

from pydantic_core import from_json, to_json

State = Literal["waiting", "replaying", "resolved", "dead", "archived"]

# Before the first, the second and the third retry; the first goes at the next tick.
DELAYS: Final = (timedelta(0), timedelta(minutes=15), timedelta(minutes=60))
MAX_RETRIES: Final = len(DELAYS)
JITTER: Final = 0.2
# A replay that nobody answered for so long was lost on its way: it is sent again, and burns nothing.
STUCK_AFTER: Final = timedelta(hours=1)


@dataclass(frozen=True)
class Row:
    """What the queue knows of a lead's trouble. `next_attempt_at` is set while waiting or replaying."""

    state: State
    attempts: int
    next_attempt_at: datetime | None


def schedule(attempts: int, now: datetime, chance: Callable[[], float]) -> datetime:
    """Return when to try again after `attempts` retries: never early, at most 20 % late."""
    return now + DELAYS[attempts] * (1 + JITTER * chance())


def after_failure(row: Row | None, *, final: bool, now: datetime, chance: Callable[[], float]) -> Row:
    """Return what a new failure makes of a row.

    | before | final | retries left | none left |
    |---|---|---|---|
    | no row, resolved | dead | waiting, three retries | |
    | waiting | dead | waiting as it was | |
    | replaying | dead | waiting by the schedule | dead |
    | dead, archived | as it was: people have decided, or will | | |
    """
    if row and row.state in ("dead", "archived"):
        return row
    attempts = row.attempts if row and row.state != "resolved" else 0
    if final or (row and row.state == "replaying" and attempts >= MAX_RETRIES):
        return Row("dead", attempts, None)
    if row and row.state == "waiting":
        return row
    return Row("waiting", attempts, schedule(attempts, now, chance))


def after_sending(row: Row, *, requested: bool, now: datetime) -> Row:
    """Return what sending makes of a row: only an automatic retry is counted."""
    automatic = row.state == "waiting" and not requested
    return Row("replaying", row.attempts + automatic, now + STUCK_AFTER)


def under_new_id(payload: bytes, row_id: UUID) -> tuple[UUID, bytes]:
    """Give a conflicting lead an id of its own, named after its row: replayed twice, it is still one."""
    lead: dict[str, Any] = from_json(payload)
    lead_id = uuid5(row_id, "lead")
    lead |= {"lead_id": str(lead_id), "event_id": str(uuid5(row_id, "event"))}
    return lead_id, to_json(lead)
