"""A run records each round, ends within its budget, and leaves the evidence of violations."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from tests.faults.runner import record as records
from tests.faults.runner.record import OtherCommit, Record
from tests.faults.runner.run import Plan, Run
from tests.unit.faults.runner.toy_family import FAMILY


def execute(
    folder: Path, plan: Plan, *faults: str, quick_options: Mapping[str, str] | None = None
) -> tuple[Run, list[str]]:
    said = list[str]()
    family = replace(FAMILY, faults=dict.fromkeys(faults, ""), bound_seconds=60)
    family = replace(family, quick_options=quick_options or {})
    evidence = folder / f"run-{len(list(folder.glob('run-*')))}"
    evidence.mkdir()
    run = Run({FAMILY.name: family}, plan, Record(folder / "rounds.jsonl"), evidence, said.append)
    run.execute()
    return run, said


def test_a_run_records_each_round_and_its_end(tmp_path: Path) -> None:
    run, said = execute(tmp_path, Plan(seed=5, rounds=3), "passes")
    begin, *rounds, end = records.read(tmp_path / "rounds.jsonl")
    assert (begin["kind"], begin["seed"], end["kind"], end["why"]) == ("run", 5, "end", "done")
    assert [(line["number"], line["leads"], line["violations"]) for line in rounds] == [
        (number, 7, []) for number in (1, 2, 3)
    ]
    assert not run.violations
    assert "3 rounds" in "\n".join(said)
    # Evidence stays, the servers' data goes.
    folders = [records.ROOT / line["folder"] for line in rounds]
    assert all((folder / "schedule.jsonl").exists() and not (folder / "data").exists() for folder in folders)


def test_a_second_run_continues_the_record(tmp_path: Path) -> None:
    execute(tmp_path, Plan(seed=5, rounds=1), "passes", "raises")
    run, _ = execute(tmp_path, Plan(seed=5, rounds=1), "passes", "raises")
    rounds = Record(tmp_path / "rounds.jsonl").rounds
    assert [line["number"] for line in rounds] == [1, 2]
    assert {line["faults"][0] for line in rounds} == {"passes", "raises"}
    assert len(run.done) == 1


def test_a_record_of_another_commit_is_refused(tmp_path: Path) -> None:
    record = Record(tmp_path / "rounds.jsonl")
    record.begin("another", {})
    with pytest.raises(OtherCommit):
        execute(tmp_path, Plan(rounds=1), "passes")


def test_a_violation_keeps_the_data_and_says_how_to_repeat_the_round(tmp_path: Path) -> None:
    run, said = execute(tmp_path, Plan(seed=5, rounds=2), "raises")
    first, second = Record(tmp_path / "rounds.jsonl").rounds
    assert run.violations == 2
    assert (records.ROOT / first["folder"] / "data" / "big").exists()
    assert first["folder"] != second["folder"]
    evidence = json.loads((records.ROOT / first["folder"] / "result.json").read_text())
    assert (evidence["seed"], evidence["violations"]) == (5, first["violations"])
    assert "--seed 5 --first 1 --fault raises" in first["reproduce"]
    assert first["reproduce"] in "\n".join(said)


def test_violations_can_be_said_again_after_the_other_rounds(tmp_path: Path) -> None:
    run, said = execute(tmp_path, Plan(seed=5, rounds=2), "passes", "raises")
    before = len(said)
    run.report_violations()
    again = said[before:]
    [violated] = [line for line in Record(tmp_path / "rounds.jsonl").rounds if line["violations"]]
    assert again[0] == f"{FAMILY.name} 5/{violated['number']}: raises"
    assert again[1:] == [line for line in said[:before] if line in again]
    assert violated["reproduce"] in again[-1]


def test_no_round_begins_that_the_budget_has_no_time_for(tmp_path: Path) -> None:
    run, _ = execute(tmp_path, Plan(minutes=0.5), "passes")
    assert run.done == []  # a round of an unknown family may take a minute


def test_sessions_at_the_same_time_record_each_round_once(tmp_path: Path) -> None:
    run, _ = execute(tmp_path, Plan(rounds=5, parallel=2), "passes")
    assert sorted(line["number"] for line in run.done) == [1, 2, 3, 4, 5]
    assert not run.violations
    assert {line["kind"] for line in records.read(tmp_path / "rounds.jsonl")} == {"run", "round", "end"}


def test_one_session_has_the_fixed_rounds_of_a_family(tmp_path: Path) -> None:
    run, _ = execute(tmp_path, Plan(fixed={FAMILY.name: [("passes",)] * 2}, parallel=2), "passes")
    assert [line["number"] for line in run.done] == [1, 2]
    assert len({Path(line["folder"]).parent for line in run.done}) == 1


def test_a_fixed_round_omits_faults_that_the_machine_lacks(tmp_path: Path) -> None:
    family = replace(
        FAMILY, bound_seconds=60, missing=lambda fault: "another machine" if fault == "hangs" else None
    )
    plan = Plan(fixed={FAMILY.name: [("hangs",), ("hangs", "passes")]})
    run = Run({FAMILY.name: family}, plan, Record(tmp_path / "rounds.jsonl"), tmp_path, lambda _line: None)
    run.execute()
    assert [line["faults"] for line in run.done] == [["passes"]]
    assert run.record.lines[0]["missing"] == {f"{FAMILY.name}: hangs": "another machine"}


def test_the_options_of_quick_rounds_are_recorded(tmp_path: Path) -> None:
    fixed = {FAMILY.name: [("passes",)]}
    run, _ = execute(tmp_path, Plan(fixed=fixed), "passes", quick_options={"seconds": "8"})
    (line,) = run.done
    assert line["options"] == {"seconds": "8"}
    assert "--set seconds=8" in line["reproduce"]
    run, _ = execute(tmp_path, Plan(rounds=1), "passes", quick_options={"seconds": "8"})
    assert run.done[0]["options"] == {}


def test_interrupted_runs_leave_a_valid_record(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "from pathlib import Path\n"
        "from tests.unit.faults.runner.test_run import execute\n"
        "from tests.faults.runner.run import Plan\n"
        f"execute(Path({str(tmp_path)!r}), Plan(rounds=3), 'hangs')\n"
    )
    with subprocess.Popen(
        [sys.executable, str(script)], cwd=records.ROOT, env={"PYTHONPATH": "."}
    ) as process:
        schedule, deadline = list[Path](), time.monotonic() + 60
        while not schedule:
            assert time.monotonic() < deadline
            time.sleep(0.1)
            schedule = list(tmp_path.glob("run-0/*/round-1/schedule.jsonl"))
        process.send_signal(signal.SIGINT)
        try:
            assert process.wait(90) == 0
        finally:
            process.kill()
    begin, end = records.read(tmp_path / "rounds.jsonl")
    assert (begin["kind"], end["kind"], end["why"]) == ("run", "end", "interrupted")
    assert json.loads(schedule[0].read_text())["event"] == "begun"
