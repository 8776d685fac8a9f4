"""Some schedules keep every promise, one seed is one history, and known faults are found again."""

import os
import subprocess
import sys

import pytest

from contracts import topics
from tests.schedules.broken import BROKEN
from tests.schedules.stages import STAGES

# In CI, as many as fit into some seconds. `make schedules` runs thousands.
SCHEDULES = 12
# Each needs a schedule with a thousand leads: `python -m tests.schedules --known`.
_LONG = {"commits-outlive-rebalance", "prefetched-records-outlive-rebalance"}


def _run(*arguments: str) -> str:
    """Return what the program prints. It runs in a process of its own, with a fixed hash seed."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.schedules", *arguments],
        env=os.environ | {"PYTHONHASHSEED": "0"},
        capture_output=True,
        text=True,
        timeout=170,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("stage", STAGES)
def test_schedules_break_no_promise(stage: str) -> None:
    assert f"{SCHEDULES} schedules of {stage}" in _run("--stage", stage, "--schedules", str(SCHEDULES))


@pytest.mark.parametrize("stage", STAGES)
def test_one_seed_is_one_history(stage: topics.Service) -> None:
    history = _run("--stage", stage, "--seed", "21")
    assert topics.consumed_by(stage)[0] in history
    assert _run("--stage", stage, "--seed", "21") == history


@pytest.mark.parametrize("fault", sorted(BROKEN.keys() - _LONG))
def test_a_known_fault_is_found_again(fault: str) -> None:
    assert f"{fault}: seed" in _run("--known", "--only", fault)


@pytest.mark.parametrize(
    ("fault", "start", "violation"),
    [
        ("poison-skipped", "persister-1  starts", "no failure was published for it"),
        ("failures-not-stored", "flusher-1    starts", "is not in the audit log"),
    ],
)
def test_a_failing_schedule_prints_its_history_and_what_is_broken(
    fault: str, start: str, violation: str
) -> None:
    arguments = [sys.executable, "-m", "tests.schedules", "--seed", "4", "--break", fault]
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=170, check=False)
    assert done.returncode == 1
    assert start in done.stdout
    assert violation in done.stdout
