"""Which steps of the models the traces have taken (`steps_taken.json`), and which ones they have not."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tests.model.checker import Exploration, Model, explore
from tests.model.specification import models
from tests.model.traces.report import Replay, general

TAKEN: Final = Path(__file__).with_name("steps_taken.json")
# The model of each part of a trace.
_MODELS: Final = {
    "intake": "intake",
    "confirmation": "mails",
    "team notification": "mails",
    "digest": "digests",
    "destination": "destinations",
    "audit of refusals": "audit of refusals",
}


def save(replay: Replay) -> None:
    """Write the numbers of a replay, and the steps that its runs took."""
    taken: dict[str, set[str]] = {}
    for part, stories in replay.taken.items():
        taken.setdefault(_MODELS[part], set()).update(stories)
    steps = {name: sorted(stories) for name, stories in sorted(taken.items())}
    TAKEN.write_text(json.dumps({"replayed": replay.line(), "steps": steps}, indent=1) + "\n")


def read() -> tuple[str, dict[str, set[str]]]:
    """Return the numbers of the last replay, and the steps that were taken, by model."""
    saved = json.loads(TAKEN.read_text())
    return saved["replayed"], {name: set(steps) for name, steps in saved["steps"].items()}


def all_steps(explored: Sequence[tuple[Model, Exploration]]) -> dict[str, set[str]]:
    """Return every step of each model, without names of processes and numbers."""
    found: dict[str, set[str]] = {}
    for model, exploration in explored:
        found.setdefault(model.name, set()).update(map(general, exploration.stories))
    return found


def render(explored: Sequence[tuple[Model, Exploration]] | None = None) -> str:
    """Return the numbers of the last replay, and each step that no run took, as Markdown."""
    replayed, taken = read()
    every = all_steps(explored or [(model, explore(model)) for model in models()])
    lines = [f"{replayed}.", "", "| model | steps | not taken |", "|---|---|---|"]
    for name, steps in every.items():
        missing = sorted(steps - taken.get(name, set()))
        text = "; ".join(missing) if name in taken else "all of them: a round has nothing of this"
        lines.append(f"| {name} | {len(steps)} | {text} |")
    return "\n".join(lines)
