"""Finds the shortest plan that still breaks a promise."""

from dataclasses import replace

from tests.schedules.plan import Plan
from tests.schedules.stage import Stage
from tests.schedules.world import Outcome, run_plan


def shrink(plan: Plan, stage: Stage) -> Outcome:
    """Leave out events, records and members while a promise of the same kind is still broken."""
    outcome = run_plan(plan, stage)
    if not outcome.violations:
        return outcome
    kind = _kind(outcome)
    while True:
        for shorter in _shorter(outcome.plan):
            found = run_plan(shorter, stage)
            if found.violations and _kind(found) == kind:
                outcome = found
                break
        else:
            return outcome


def _kind(outcome: Outcome) -> str:
    """Return what kind of promise is broken first: the words without numbers and ids."""
    return " ".join(word for word in outcome.violations[0].split() if word.isalpha())


def _shorter(plan: Plan) -> list[Plan]:
    """Return the plans with one part less, those with the largest part left out first."""
    events = plan.events
    found = [replace(plan, events=[*events[:n], *events[n + 1 :]]) for n in range(len(events))]
    for number, event in enumerate(events):
        half = len(event.shapes) // 2
        for shapes in (event.shapes[:half], event.shapes[half:]) if half else ():
            changed = replace(event, shapes=shapes)
            found.append(replace(plan, events=[*events[:number], changed, *events[number + 1 :]]))
    if plan.members > 1:
        found.append(replace(plan, members=plan.members - 1))
    return found
