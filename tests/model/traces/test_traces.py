"""Traces of real rounds are explained, and a trace of a broken promise is not.

`recorded/leads.json` has traces of real rounds, by what happened to the lead. Each test of a broken promise
edits one of them to what its observers would have seen. The other files there have a few leads of rounds of
a product that really was broken (`tests.faults.broken`).
"""

import json
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest

from tests.model.checker import Model, Step
from tests.model.traces.report import Replay
from tests.model.traces.simulation import explain

RECORDED: Final[dict[str, dict[str, Any]]] = json.loads(
    Path(__file__).with_name("recorded").joinpath("leads.json").read_text()
)
Trace = dict[str, Any]


def _replay(trace: Trace, folder: Path) -> Replay:
    path = folder / "1-1.jsonl"
    path.write_text(json.dumps({"round": "1/1", "refusals": []}) + "\n" + json.dumps(trace) + "\n")
    replay = Replay()
    replay.add([path])
    return replay


@pytest.mark.parametrize("name", RECORDED)
def test_a_recorded_trace_is_explained(name: str, tmp_path: Path) -> None:
    replay = _replay(RECORDED[name], tmp_path)
    assert replay.unexplained == []
    assert (replay.undecided, len(replay.leads)) == (0, 1)
    assert replay.parts.total() >= 1


def _moment(trace: Trace, label: str) -> list[str]:
    """Return the first moment with a label that begins so."""
    found: list[str] = next(
        each for each in trace["moments"] if any(one.startswith(label) for one in each[1:])
    )
    return found


def _drop(label: str) -> Callable[[Trace], None]:
    def edit(trace: Trace) -> None:
        moment = _moment(trace, label)
        moment[:] = [each for each in moment if not each.startswith(label)]

    return edit


def _drop_moment(observer: str, label: str = "") -> Callable[[Trace], None]:
    def edit(trace: Trace) -> None:
        found = (each for each in trace["moments"] if each[0] == observer and label in ("", each[1]))
        trace["moments"].remove(next(found))

    return edit


def _repeat(label: str) -> Callable[[Trace], None]:
    def edit(trace: Trace) -> None:
        trace["moments"].append(list(_moment(trace, label)))

    return edit


def _never_stored(trace: Trace) -> None:
    trace["topics"], trace["moments"] = {}, []


def _no_second_body(trace: Trace) -> None:
    trace["posts"] = [[0, 201], [1, 201]]
    del trace["topics"]["failed"]


def _no_retry_record(trace: Trace) -> None:
    del trace["topics"]["retry"]


def _swapped_arrivals(trace: Trace) -> None:
    arrived = [at for at, each in enumerate(trace["moments"]) if each[0] == "destination"]
    moments, (first, second) = trace["moments"], arrived[1:3]
    moments[first], moments[second] = moments[second], moments[first]


def _sent_after_the_erasure(trace: Trace) -> None:
    """Move the erasure before the commit of `sending`."""
    moments = trace["moments"]
    moments.remove(erasure := _moment(trace, "entry lead.erased"))
    at = moments.index(_moment(trace, "email welcome sending"))
    for moment in moments[at:]:
        moment[:] = [f"{each} emptied" if each.startswith("email ") else each for each in moment]
    moments.insert(at, [each.replace(" sent emptied", " reserved emptied") for each in erasure])


def _keeps_address(trace: Trace) -> None:
    """Leave the address in the row of the confirmation."""
    for moment in trace["moments"]:
        moment[:] = [each.removesuffix(" emptied") if " welcome " in each else each for each in moment]


def _another_list(trace: Trace) -> None:
    trace["moments"].append(["mail server", "admin_alert", "00000000-0000-4000-8000-000000000000"])


# By promise: the recorded trace, how it is broken, and what is not explained then.
BROKEN: Final[dict[str, tuple[str, Callable[[Trace], None], str]]] = {
    "website → ingest: a 201 and no lead": ("plain", _never_stored, "nothing more was seen"),
    "received → persister: a row without its entry": (
        "plain",
        _drop("entry lead.received"),
        "database saw `row x`",
    ),
    "received → persister: an entry twice": ("plain", _repeat("entry lead.received"), "as number 2 of 2"),
    "received → notifier → SMTP: a lost mail": (
        "plain",
        _drop_moment("mail server", "welcome"),
        "database saw `email sent`",
    ),
    "received → notifier → SMTP: a mail twice": ("plain", _repeat("welcome"), "mail server saw `mail`"),
    "collected alerts → notifier → SMTP: in two lists": (
        "listed",
        _another_list,
        "mail server saw `list another`",
    ),
    "received → webhooks → destination: delivered, and not there": (
        "plain",
        _drop_moment("destination"),
        "database saw `lead.received delivered 1`",
    ),
    "change → outbox → webhooks: the second change first": (
        "changed",
        _swapped_arrivals,
        "destination saw `change 2`",
    ),
    "change → outbox → webhooks: not in the outbox": (
        "changed",
        _drop("outbox written"),
        "database saw `change 1 + entry lead.status_changed`",
    ),
    "stage → failed → flusher: a second body is dropped": (
        "second body",
        _no_second_body,
        "nothing more was seen",
    ),
    "flusher → retry → stage: no retry in Kafka": (
        "retried",
        _no_retry_record,
        "database saw `queue replaying`",
    ),
    "ingest → audit → persister: an entry twice": (
        "rejected",
        _repeat("entry lead.rejected"),
        "database saw `entry`, as number 2 of 2",
    ),
    "admin → PostgreSQL: a change without its entry": (
        "changed",
        _drop("entry lead.status_changed"),
        "database saw `change 1 + outbox 1`",
    ),
    "an erasure: an email begins after it": (
        "erased",
        _sent_after_the_erasure,
        "database saw `email sending`",
    ),
    "an erasure: an address stays": ("erased", _keeps_address, "database saw `entry lead.erased`"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_promise_is_an_unexplained_step(name: str, tmp_path: Path) -> None:
    recorded, edit, expected = BROKEN[name]
    trace = deepcopy(RECORDED[recorded])
    edit(trace)
    replay = _replay(trace, tmp_path)
    said = [step for found in replay.unexplained for step in found.found.unexplained]
    assert any(expected in each for each in said), said
    assert "unexplained step: " in str(replay.unexplained[0])
    assert ", 0 unexplained" not in replay.line()


# By file: how many parts are unexplained, and why.
BROKEN_PRODUCT: Final = {
    "201_before_kafka_answers": (2, "nothing more was seen, and the model expects: Kafka is back"),
    "each_mail_twice": (3, "mail server saw `mail`, as number 2 of 2"),
}


@pytest.mark.parametrize("name", BROKEN_PRODUCT)
def test_a_trace_of_a_broken_product_is_unexplained(name: str) -> None:
    unexplained, expected = BROKEN_PRODUCT[name]
    replay = Replay()
    replay.add([Path(__file__).with_name("recorded") / f"{name}.jsonl.gz"])
    assert [each.found.unexplained for each in replay.unexplained] == [(expected,)] * unexplained
    assert replay.parts.total() > unexplained  # what the break did not touch is explained


def test_the_longest_explained_beginning_is_a_story(tmp_path: Path) -> None:
    trace = deepcopy(RECORDED["plain"])
    _drop_moment("mail server", "welcome")(trace)
    (found,) = _replay(trace, tmp_path).unexplained
    assert str(found).splitlines()[1:] == [
        "1. Notifier 1 takes the record at offset 0 and reserves the email.",
        "2. Notifier 1 commits `sending`.",
        "unexplained step: database saw `email sent`, as number 3 of 3",
    ]


def test_silent_faults_are_part_of_a_run_and_the_fewest_are_chosen() -> None:
    class State(NamedTuple):
        at: int
        faults: int

    def steps(s: State) -> list[Step]:
        found = [Step("go", State(s.at + 1, s.faults))] if s.at < 2 else []
        return found + ([Step("jump", State(9, s.faults - 1), fault=True)] if s.faults else [])

    def view(before: State, after: State) -> tuple[tuple[str, str], ...]:
        return (("clock", f"{after.at}"),) if after.at != 1 else ()

    model = Model("jumps", "", State(0, 3), steps, ())
    assert explain(model, view, (("clock", ("2",)),)).story == ("go", "go")
    jumped = explain(model, view, (("clock", ("9",)),))
    assert (jumped.story, jumped.faults, jumped.unexplained) == (("jump",), 1, ())
    assert explain(model, view, (("clock", ("3",)),)).unexplained == ("clock saw `3`, as number 1 of 1",)
