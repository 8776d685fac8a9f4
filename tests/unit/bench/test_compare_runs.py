"""Whether the intervals of two stored runs overlap."""

import json
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from tests.bench.compare_runs import compare, main


def run(**rows: dict[str, Any]) -> dict[str, Any]:
    results = [{"name": name, "against": "bare", "ratio": 1.0} | row for name, row in rows.items()]
    return {"quick": False, "turns": 8, "method": {}, "results": results}


def states(one: dict[str, Any], other: dict[str, Any]) -> dict[str, str]:
    return {name: said for (name, _), said in compare(one, other).items()}


ONE = run(
    same={"interval": [0.9, 1.1]},
    changed={"interval": [0.9, 1.1]},
    noisy={"interval": [0.5, 1.5], "ratio": None},
    memory={"interval": None},
    gone={"interval": [0.9, 1.1]},
)
OTHER = run(
    same={"interval": [1.1, 1.3]},
    changed={"interval": [1.2, 1.3]},
    noisy={"interval": [0.9, 1.1]},
    memory={"interval": None},
    new={"interval": [0.9, 1.1]},
)


def test_each_row_of_two_runs_is_compared_by_its_interval() -> None:
    assert states(ONE, OTHER) == {
        "same": "overlaps",
        "changed": "differs",
        "noisy": "too noisy",
        "memory": "one turn",
        "gone": "in one run only",
        "new": "in one run only",
    }


def test_a_run_before_the_intervals_has_its_lowest_and_highest_ratio() -> None:
    earlier = run(same={"lowest": 1.05, "highest": 1.2})
    assert states(earlier, ONE)["same"] == "overlaps"
    assert states(run(same={"lowest": 1.15, "highest": 1.2}), ONE)["same"] == "differs"


@pytest.mark.parametrize(("other", "code"), [(OTHER, 1), (ONE, 0)])
def test_a_row_that_differs_ends_the_command_with_1(other: dict[str, Any], code: int, tmp_path: Path) -> None:
    paths = [tmp_path / "one.json", tmp_path / "other.json"]
    for path, data in zip(paths, (ONE, other), strict=True):
        path.write_text(json.dumps(data))
    app = typer.Typer()
    app.command()(main)
    said = CliRunner().invoke(app, [str(path) for path in paths])
    assert said.exit_code == code
    assert ("1 differs" in said.output) is bool(code)
    assert "other.json: whole run, 8 turns" in said.output
