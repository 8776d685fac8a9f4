"""The result of a replay as one sentence, and its colour. No I/O."""

from dataclasses import dataclass
from typing import Final

from services.admin.dashboard.formatting import number
from services.admin.schemas.replays import CountedOutcomes, Replay

_OTHER_RESULTS: Final = (("failed", "failed again"), ("skipped", "skipped"), ("cancelled", "cancelled"))


@dataclass(frozen=True)
class ReplaySummary:
    """A sentence about a replay, and the CSS class of its badge (`style`).

    The class is never `good` if a delivery failed again.
    """

    text: str
    style: str


def summarise_replay(replay: Replay, counted: CountedOutcomes) -> ReplaySummary:
    """Return the summary, such as `60 sent, 7 failed again`. For a running replay: `9 of 67 processed`."""
    outcomes, about = counted.outcomes, "\N{ALMOST EQUAL TO} " if counted.outcomes_are_estimates else ""
    sent = outcomes.sent + outcomes.resolved
    parts = [f"{about}{number(sent)} sent"]
    if replay.state == "running":
        parts = [f"{number(replay.taken)} of {number(replay.wanted)} processed"]
    for name, text in _OTHER_RESULTS:
        if count := getattr(outcomes, name):
            parts.append(f"{'' if name == 'cancelled' else about}{number(count)} {text}")
    style = {"running": "blue", "finished": "good"}.get(replay.state, "grey")
    if outcomes.failed:
        style = "amber" if sent else "bad"
    return ReplaySummary(", ".join(parts), style)
