"""The protocol keeps every promise in every state of the model, and each broken promise shows."""

from functools import cache
from itertools import chain
from typing import Any

import pytest

from tests.model import intake
from tests.model.checker import Exploration, Model, Property, Step, explore
from tests.model.document import read_part, read_table, read_transitions
from tests.model.intake_state import ONE_LEAD
from tests.model.mails_state import State as MailState
from tests.model.report import render_models, render_promises, render_stories
from tests.model.specification import (
    BROKEN,
    FAULT_PROMISES,
    HELD_BY_ANOTHER_DEFENCE,
    LIMITS,
    PROMISES,
    BrokenPromise,
    models,
)
from tests.model.traces import coverage

MODELS = {f"{model.name}, {model.bounds}": model for model in models()}


@cache
def _explored(name: str) -> Exploration:
    return explore(MODELS[name])


@pytest.mark.parametrize("name", MODELS)
def test_every_promise_holds_in_every_state(name: str) -> None:
    found = _explored(name)
    assert found.counterexample is None, f"\n{found.counterexample}"
    assert found.at_rest


@pytest.mark.parametrize("broken", BROKEN, ids=lambda each: " and ".join(each.names))
def test_a_broken_promise_has_a_short_counterexample(broken: BrokenPromise) -> None:
    found = explore(broken.build(broken.names)).counterexample
    assert found is not None
    assert found.broken == broken.breaks
    assert len(found.story) <= 20


@pytest.mark.parametrize("limit", LIMITS, ids=lambda each: each.build.__name__)
def test_the_known_limits_are_still_limits(limit: BrokenPromise) -> None:
    found = explore(limit.build(limit.names)).counterexample
    assert found is not None, "this no longer breaks a promise: raise the bounds, and docs/model.md"
    assert found.broken == limit.breaks


def test_the_ledger_holds_where_offsets_are_committed_too_early() -> None:
    found = explore(HELD_BY_ANOTHER_DEFENCE.build(HELD_BY_ANOTHER_DEFENCE.names))
    assert found.counterexample is None


def test_the_promises_are_those_of_the_architecture() -> None:
    assert read_table("The promise of each hop") == PROMISES
    faults = read_table("When something fails")
    assert {name: faults[name] for name in FAULT_PROMISES} == FAULT_PROMISES


def test_every_promise_has_a_property() -> None:
    checked = {each.promise for model in MODELS.values() for each in model.properties}
    assert checked == PROMISES.keys() | FAULT_PROMISES.keys()


def test_every_property_is_broken_by_something() -> None:
    """A property that nothing breaks may be one that is always true. Those at rest overlap."""
    always = {each.name for model in MODELS.values() for each in model.properties if not each.at_rest}
    assert always - {each.breaks for each in BROKEN} == set()


def _changes(part: str, of: Model) -> set[tuple[str, str]]:
    found = _explored(f"{of.name}, {of.bounds}")

    def name(state: Any) -> str:
        row = getattr(state, part)
        return row.state if row else "[*]"

    return {
        (name(found.states[number]), name(found.states[after]))
        for number, steps in enumerate(found.after)
        for after, _ in steps
        if name(found.states[number]) != name(found.states[after])
    }


@pytest.mark.parametrize(
    ("part", "subject"), [("row", "An email, in `email_delivery`"), ("queue", "A failure, in `replay_queue`")]
)
def test_the_model_changes_states_as_the_diagrams_do(part: str, subject: str) -> None:
    of_mails = [model for model in MODELS.values() if isinstance(model.initial, MailState)]
    changes = set(chain.from_iterable(_changes(part, model) for model in of_mails))
    assert changes - read_transitions(subject) == set()


def test_the_document_has_the_numbers_and_the_stories() -> None:
    explored = [(model, _explored(name)) for name, model in MODELS.items()]
    hint = "run `python -m tests.model --write`"
    assert read_part("models") == render_models(explored), hint
    assert read_part("promises") == render_promises(list(MODELS.values())), hint
    assert read_part("stories") == render_stories(), hint
    assert read_part("limits") == render_stories(LIMITS), hint
    assert read_part("traces") == coverage.render(explored), hint


def test_the_steps_of_the_traces_are_steps_of_the_models() -> None:
    replayed, taken = coverage.read()
    assert ", 0 unexplained" in replayed
    every = coverage.all_steps([(model, _explored(name)) for name, model in MODELS.items()])
    assert {name: steps - every[name] for name, steps in taken.items() if steps - every[name]} == {}


def test_the_checker_finds_what_waits_for_ever() -> None:
    def steps(state: int) -> list[Step]:
        turns = {
            0: [Step("wait", 1)],
            1: [Step("wait", 2), Step("end", 3, fault=True)],
            2: [Step("wait", 1)],
            3: [],
        }
        return turns[state]

    found = explore(Model("ring", "", 0, steps, ())).counterexample
    assert found is not None
    assert (found.broken, found.story) == ("comes to rest", ())


def test_the_checker_finds_the_shortest_of_many_ways() -> None:
    def steps(state: int) -> list[Step]:
        return [Step("add one", min(9, state + 1)), Step("add three", min(9, state + 3))]

    nine = Property("below nine", "", lambda state: state < 9)
    found = explore(Model("sum", "", 0, steps, (nine,))).counterexample
    assert found is not None
    assert found.story == ("add three", "add three", "add three")


def test_a_fault_is_no_reason_to_wait() -> None:
    found = explore(intake.build(ONE_LEAD, faults=0))
    assert {found.states[number].posts for number in found.at_rest} == {("201",)}
