"""Which rows a replay selects, and why others are blocked."""

from uuid import uuid4

import pytest
from pydantic import ValidationError

from services.admin.rules.replay_rules import (
    nothing_to_replay,
    outcomes,
    replay_blocker,
)
from services.admin.schemas.replay_filters import ALL_STATES, REPLAYABLE_STATES, ReplayOrder
from services.admin.schemas.replays import BlockedGroup


@pytest.mark.parametrize("state", REPLAYABLE_STATES)
def test_waiting_dead_and_archived_rows_can_be_replayed(state: str) -> None:
    assert replay_blocker(state=state, has_payload=True, erased=False) is None


@pytest.mark.parametrize("state", ALL_STATES)
def test_a_row_of_an_erased_lead_is_blocked_for_that_reason(state: str) -> None:
    blocker = replay_blocker(state=state, has_payload=False, erased=True)
    assert blocker == "Its lead is erased, so nothing can be sent."


def test_an_order_selects_replayable_rows_and_named_rows_in_any_state() -> None:
    assert ReplayOrder().selection()["states"] == REPLAYABLE_STATES
    assert ReplayOrder(state="dead").selection()["states"] == ("dead",)
    assert ReplayOrder(ids=[uuid4()]).selection()["states"] == ALL_STATES


def test_summary_has_the_number_of_ids_instead_of_the_ids() -> None:
    order = ReplayOrder(stage="notifier", ids=[uuid4(), uuid4()], comment="because", per_second=5)
    assert order.summary() == {"stage": "notifier", "ids": 2}


def test_an_order_bounds_the_comment_and_the_rate() -> None:
    for wrong in ({"comment": "x" * 201}, {"per_second": 0}, {"per_second": 101}):
        with pytest.raises(ValidationError):
            ReplayOrder.model_validate(wrong)


def test_nothing_to_replay_says_why() -> None:
    blocked = BlockedGroup(stage="s", kind="k", state="dead", reason="r", rows=2, why="Because.", ids=[])
    assert nothing_to_replay([blocked], 0) == "None of the matching deliveries can be retried: 2 x Because."
    assert nothing_to_replay([], 1) == "No delivery has any of these ids."
    assert nothing_to_replay([], 0) == "No delivery matches, so nothing is retried."


@pytest.mark.parametrize("counted", [{"resolved": 667, "failed": 333}, {"resolved": 2, "failed": 1}, {}])
@pytest.mark.parametrize(("cancelled_at", "never"), [(None, "queued"), ("now", "cancelled")])
def test_outcomes_of_a_sample_add_up_to_all_rows(
    counted: dict[str, int], cancelled_at: str | None, never: str
) -> None:
    taken = 3000 if counted else 0
    replay = {"wanted": 100_000, "taken": taken, "cancelled_at": cancelled_at}
    found = outcomes(replay, counted)
    assert (sum(found.values()), found[never]) == (100_000, 100_000 - taken)
    assert found.get("failed", 0) in (0, 999, 1000)
