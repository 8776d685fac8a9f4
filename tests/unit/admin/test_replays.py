"""Which rows a replay means, and the words for those that it cannot send."""

from uuid import uuid4

import pytest
from pydantic import ValidationError

from services.admin.rules.replay_rules import (
    ALL_STATES,
    REPLAYABLE_STATES,
    ReplayOrder,
    outcomes,
    refusal,
    why_not,
)
from services.admin.schemas.replays import BlockedGroup


@pytest.mark.parametrize("state", REPLAYABLE_STATES)
def test_what_waits_is_dead_or_archived_can_be_replayed(state: str) -> None:
    assert why_not(state=state, has_payload=True, erased=False) is None


@pytest.mark.parametrize("state", ALL_STATES)
def test_nothing_of_an_erased_lead_is_replayed_and_that_is_the_reason_told(state: str) -> None:
    said = why_not(state=state, has_payload=False, erased=True)
    assert said == "Its lead is erased, and that is final."


def test_an_order_means_what_can_be_replayed_and_of_named_rows_each_has_its_word() -> None:
    assert ReplayOrder().selection()["states"] == REPLAYABLE_STATES
    assert ReplayOrder(state="dead").selection()["states"] == ("dead",)
    assert ReplayOrder(ids=[uuid4()]).selection()["states"] == ALL_STATES


def test_history_keeps_the_filter_and_of_ids_their_number() -> None:
    order = ReplayOrder(stage="notifier", ids=[uuid4(), uuid4()], comment="because", per_second=5)
    assert order.told() == {"stage": "notifier", "ids": 2}


def test_a_comment_is_short_and_a_replay_has_a_bounded_rate() -> None:
    for wrong in ({"comment": "x" * 201}, {"per_second": 0}, {"per_second": 101}):
        with pytest.raises(ValidationError):
            ReplayOrder.model_validate(wrong)


def test_a_refusal_says_what_was_found() -> None:
    blocked = BlockedGroup(stage="s", kind="k", state="dead", reason="r", rows=2, why="Because.", ids=[])
    assert refusal([blocked], 0) == "None of the rows that match can be replayed: 2 x Because."
    assert refusal([], 1) == "No row has any of these ids."
    assert refusal([], 0) == "No row matches, so nothing is replayed."


@pytest.mark.parametrize("counted", [{"resolved": 667, "failed": 333}, {"resolved": 2, "failed": 1}, {}])
@pytest.mark.parametrize(("cancelled_at", "never"), [(None, "queued"), ("now", "cancelled")])
def test_the_outcomes_of_a_sample_add_up_to_what_was_wanted(
    counted: dict[str, int], cancelled_at: str | None, never: str
) -> None:
    taken = 3000 if counted else 0
    replay = {"wanted": 100_000, "taken": taken, "cancelled_at": cancelled_at}
    found = outcomes(replay, counted)
    assert (sum(found.values()), found[never]) == (100_000, 100_000 - taken)
    assert found.get("failed", 0) in (0, 999, 1000)
