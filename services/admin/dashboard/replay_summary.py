"""Summarises the result of a replay: one sentence, and the colour of its badge. No I/O."""

from dataclasses import dataclass
from typing import Final

from services.admin.schemas.replays import CountedOutcomes, Replay
from services.admin.texts import gettext, gettext_noop, number

_OTHER_RESULTS: Final = (
    ("failed", gettext_noop("%(number)s failed again")),
    ("skipped", gettext_noop("%(number)s skipped")),
    ("cancelled", gettext_noop("%(number)s cancelled")),
)


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
    parts = [gettext("%(number)s sent", number=about + number(sent))]
    if replay.state == "running":
        parts = [gettext("%(done)s of %(all)s processed", done=replay.taken, all=replay.wanted)]
    for name, text in _OTHER_RESULTS:
        if count := getattr(outcomes, name):
            parts.append(gettext(text, number=("" if name == "cancelled" else about) + number(count)))
    style = {"running": "blue", "finished": "good"}.get(replay.state, "grey")
    if outcomes.failed:
        style = "amber" if sent else "bad"
    return ReplaySummary(", ".join(parts), style)
