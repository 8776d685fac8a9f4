"""A round that hangs, fails or dies is a result, and nothing of it runs afterwards."""

import json
from dataclasses import replace
from pathlib import Path

import psutil

from tests.faults.family import Result
from tests.faults.runner.session import OWNER_VARIABLE, Session
from tests.unit.faults.runner.toy_family import FAMILY


def run_rounds(folder: Path, *faults: str, bound_seconds: float = 60) -> list[Result]:
    found = list[Result]()
    with Session(replace(FAMILY, bound_seconds=bound_seconds), folder, {}) as session:
        for number, fault in enumerate(faults, start=1):
            (folder / f"round-{number}").mkdir()
            found.append(session.run(1, number, (fault,), folder / f"round-{number}"))
        session.close()
    return found


def owned(folder: Path) -> list[int]:
    found = list[int]()
    for process in psutil.process_iter():
        try:
            if process.environ().get(OWNER_VARIABLE) == str(folder):
                found.append(process.pid)
        except (psutil.Error, OSError):
            continue
    return found


def test_rounds_share_a_session_and_leave_no_process(tmp_path: Path) -> None:
    first, second = run_rounds(tmp_path, "passes", "passes")
    assert first.leads == second.leads == 7
    assert first.violations == second.violations == []
    assert first.figures != second.figures
    assert json.loads((tmp_path / "round-1" / "schedule.jsonl").read_text())["event"] == "begun"
    assert owned(tmp_path) == []


def test_a_round_that_hangs_is_ended_with_its_processes(tmp_path: Path) -> None:
    (hung,) = run_rounds(tmp_path, "hangs", bound_seconds=4)
    (violation,) = hung.violations
    assert violation.kind == "hung"
    log = (tmp_path / "session.log").read_text()
    assert "this is where it hangs" in log
    assert "toy_family.py" in log  # the stack of the task
    assert json.loads((tmp_path / "round-1" / "schedule.jsonl").read_text())["event"] == "begun"
    assert owned(tmp_path) == []


def test_a_round_that_raises_is_a_violation_with_its_traceback(tmp_path: Path) -> None:
    (failed,) = run_rounds(tmp_path, "raises")
    (violation,) = failed.violations
    assert violation.kind == "suite"
    assert "no such server" in violation.detail
    assert "no such server" in (tmp_path / "round-1" / "traceback.txt").read_text()
    assert owned(tmp_path) == []


def test_a_round_whose_process_dies_is_a_violation(tmp_path: Path) -> None:
    died, after = run_rounds(tmp_path, "dies", "passes")
    assert "ended with 3" in died.violations[0].detail
    assert after.violations  # the session is over; the runner starts another one
    assert owned(tmp_path) == []


def test_a_fault_that_was_not_injected_is_a_violation(tmp_path: Path) -> None:
    (omitted,) = run_rounds(tmp_path, "omitted")
    assert "neither injected nor skipped: omitted" in omitted.violations[0].detail
