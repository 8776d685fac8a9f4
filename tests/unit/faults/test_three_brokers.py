"""What the run on three brokers makes of its figures: each broken promise is named."""

from typing import Any

import pytest

from tests.faults.three_brokers import faults


def report(**changes: Any) -> dict[str, Any]:
    """Return the report of a run of ten leads without a fault, except for `changes`."""
    figures = {
        "posted": 10, "acknowledged": 10, "stored": 10, "lost": 0, "audit entries": 10, "mailed": 20,
        "mailed twice": 0,
    }  # fmt: skip
    made = {
        "replicas": 3,
        "min_insync": ["2"],
        "phases": [{"phase": "two killed", "statuses": {201: 10}, "spool_at_most": 7}],
        "mail_states": {"sent": 20},
        "ledger": "",
    }
    return {
        **made,
        **{key: value for key, value in changes.items() if key in made},
        "figures": {**figures, **{key: value for key, value in changes.items() if key in figures}},
    }


def test_a_run_that_kept_every_promise_has_no_fault() -> None:
    assert faults(report()) == []


@pytest.mark.parametrize(
    "changes",
    [
        {"replicas": 1},
        {"min_insync": ["1", "2"]},
        {"phases": [{"phase": "two killed", "statuses": {201: 9, 503: 1}, "spool_at_most": 7}]},
        {"phases": [{"phase": "two killed", "statuses": {201: 10}, "spool_at_most": 0}]},
        {"stored": 9},
        {"lost": 1},
        {"audit entries": 11},
        {"mailed": 19},
        {"mailed twice": 1},
        {"mail_states": {"sent": 19, "unknown": 1}},
        {"ledger": "differs by 1"},
    ],
    ids=str,
)
def test_a_broken_promise_is_named(changes: dict[str, Any]) -> None:
    assert len(faults(report(**changes))) == 1
