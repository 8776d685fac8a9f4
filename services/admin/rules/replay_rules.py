"""Which rows of the replay queue can be replayed, and the state and results of a replay. No I/O, no clock."""

from collections.abc import Mapping
from typing import Any

from services.admin.rules.errors import ConflictError
from services.admin.schemas.replays import BlockedGroup, ReplayState
from services.admin.texts import gettext


def replay_blocker(*, state: str, has_payload: bool, erased: bool) -> str | None:
    """Return why a row cannot be replayed, or None if it can."""
    if erased:
        return gettext("Its lead is erased, so nothing can be sent.")
    if state == "resolved":
        return gettext("It is resolved: the delivery succeeded, so nothing is left to send.")
    if state == "replaying":
        return gettext("It is being retried now. Without a result, it is retried again after an hour.")
    if not has_payload:
        return gettext("Its content is missing, so there is nothing to send.")
    return None


def state_of(replay: Mapping[str, Any]) -> ReplayState:
    """Return the state of a replay. `replay` is a row of the table `queue_replay`."""
    if replay["cancelled_at"]:
        return "cancelled"
    return "finished" if replay["finished_at"] else "running"


def outcomes(replay: Mapping[str, Any], counts: Mapping[str, int]) -> dict[str, int]:
    """Return the number of a replay's rows by result. The numbers add up to all rows of the replay.

    `counts` has the number of processed rows by result. If only a sample of the processed rows was counted,
    the numbers are scaled up.
    """
    processed, counted = replay["taken"], sum(counts.values())
    scaled = {result: rows * processed // counted for result, rows in counts.items()}
    if scaled:
        # The largest result gets what rounding has removed.
        scaled[max(scaled, key=scaled.__getitem__)] += processed - sum(scaled.values())
    return scaled | {"cancelled" if replay["cancelled_at"] else "queued": replay["wanted"] - processed}


def replay_seconds(rows: int, per_second: int) -> int:
    """Return the minimum duration, in seconds, of a replay of `rows` rows at `per_second` rows a second."""
    return -(-rows // per_second)


def nothing_to_cancel(state: ReplayState) -> str:
    """Return the message that explains why a replay in this state cannot be cancelled."""
    if state == "cancelled":
        return gettext("The replay is cancelled: there is nothing left to cancel.")
    return gettext("The replay is finished: there is nothing left to cancel.")


def check_expected(rows: int, expected: int | None) -> None:
    """Raise `ConflictError` if more rows match now than the preview showed."""
    if expected is not None and rows > expected:
        raise ConflictError(
            gettext(
                "%(count)s rows match now, not %(expected)s. Check the preview.",
                count=rows,
                expected=expected,
            )
        )


def nothing_to_replay(blocked: list[BlockedGroup], unknown_ids: int) -> str:
    """Return the message that explains why a replay has no row to send.

    `blocked` are the matching rows that cannot be replayed. `unknown_ids` is the number of requested ids that
    do not exist.
    """
    if not blocked:
        return (
            gettext("No delivery has any of these ids.")
            if unknown_ids
            else gettext("No delivery matches, so nothing is retried.")
        )
    reasons = (gettext("%(count)s x %(reason)s", count=group.rows, reason=group.why) for group in blocked[:5])
    return gettext("None of the matching deliveries can be retried: %(reasons)s", reasons=" ".join(reasons))
