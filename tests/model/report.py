"""Renders what the checker found, for the command and for docs/model.md."""

from collections.abc import Iterator, Sequence

from tests.model.checker import Exploration, Model, explore
from tests.model.specification import BROKEN, FAULT_PROMISES, LIMITS, PROMISES, BrokenPromise, models
from tests.model.traces import coverage


def render_models(explored: Sequence[tuple[Model, Exploration]]) -> str:
    """Return a Markdown table: one row for each model. All numbers are exact and repeatable."""
    rows = [
        f"| {model.name} | {model.bounds} | {len(found.states):,} | {found.steps:,} | {len(found.at_rest)} |"
        for model, found in explored
    ]
    states, steps = (sum(len(f.states) for _, f in explored), sum(f.steps for _, f in explored))
    return "\n".join(
        [
            "| model | bounds | states | steps | at rest |",
            "|---|---|---|---|---|",
            *rows,
            f"| all | | {states:,} | {steps:,} | |",
        ]
    )


def render_promises(built: Sequence[Model]) -> str:
    """Return a Markdown table: the properties of each promise."""
    lines = ["| promise | properties |", "|---|---|"]
    for promise in (*PROMISES, *FAULT_PROMISES):
        names = dict.fromkeys(
            f"{each.name}{' (at rest)' * each.at_rest}"
            for model in built
            for each in model.properties
            if each.promise == promise
        )
        lines.append(f"| {promise} | {'; '.join(names)} |")
    return "\n".join(lines)


def render_stories(broken: Sequence[BrokenPromise] = BROKEN) -> str:
    """Return the shortest counterexample of each broken promise, in plain English."""
    return "\n\n".join("\n".join(_story(each)) for each in broken)


def _story(broken: BrokenPromise) -> Iterator[str]:
    counterexample = explore(broken.build(broken.names)).counterexample
    title = ", and ".join(broken.names) or "Nothing is broken on purpose"
    yield f"**{title[0].upper()}{title[1:]}.**"
    yield ""
    yield str(counterexample) if counterexample else "No counterexample."


def render_document() -> dict[str, str]:
    """Return the generated parts of docs/model.md, by the name of their marker."""
    built = models()
    explored = [(model, explore(model)) for model in built]
    return {
        "models": render_models(explored),
        "promises": render_promises(built),
        "stories": render_stories(),
        "limits": render_stories(LIMITS),
        "traces": coverage.render(explored),
    }
