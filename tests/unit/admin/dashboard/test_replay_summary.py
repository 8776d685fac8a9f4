"""The summary of a replay: green only if nothing failed again."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from services.admin.dashboard.replay_summary import ReplaySummary, summarise_replay
from services.admin.schemas.replays import CountedOutcomes, Outcomes, Replay, ReplayState

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def replay(state: ReplayState = "finished", taken: int = 67) -> Replay:
    values: dict[str, Any] = dict.fromkeys(("comment", "finished_at", "cancelled_at", "cancelled_by"))
    values |= {"id": UUID(int=1), "requested_by": "ann", "filter": {}, "per_second": 20, "created_at": NOW}
    return Replay(state=state, wanted=67, taken=taken, **values)


@pytest.mark.parametrize(
    ("which", "outcomes", "text", "style"),
    [
        (replay(), {"resolved": 60, "failed": 7}, "60 sent, 7 failed again", "amber"),
        (replay(), {"failed": 67}, "0 sent, 67 failed again", "bad"),
        (replay(), {"resolved": 66, "sent": 1}, "67 sent", "good"),
        (replay(), {"resolved": 60, "skipped": 7}, "60 sent, 7 skipped", "good"),
        (replay("running", 9), {"resolved": 8, "sent": 1, "queued": 58}, "9 of 67 processed", "blue"),
        (replay("running", 9), {"resolved": 8, "failed": 1}, "9 of 67 processed, 1 failed again", "amber"),
        (replay("cancelled", 9), {"resolved": 9, "cancelled": 58}, "9 sent, 58 cancelled", "grey"),
        (
            replay("cancelled", 9),
            {"resolved": 8, "failed": 1, "cancelled": 58},
            "8 sent, 1 failed again, 58 cancelled",
            "amber",
        ),
    ],
)
def test_regression_a_replay_in_which_some_failed_again_is_no_success(
    which: Replay, outcomes: dict[str, int], text: str, style: str
) -> None:
    counted = CountedOutcomes(outcomes=Outcomes(**outcomes), outcomes_are_estimates=False)
    assert summarise_replay(which, counted) == ReplaySummary(text, style)


def test_estimates_are_marked() -> None:
    counted = CountedOutcomes(outcomes=Outcomes(resolved=2990, failed=10), outcomes_are_estimates=True)
    assert summarise_replay(replay(), counted).text == "≈ 2,990 sent, ≈ 10 failed again"
