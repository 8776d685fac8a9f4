"""What a comparison records of the machine."""

import subprocess
import sys

import pytest

from tests.bench.machine import Times, Watch, shares, times
from tests.bench.placement import CORES, NOT_PINNED

# More than what the clock ticks of processor times may be off.
BURN_SECONDS = 0.3
BURN = f"import time\nwhile time.process_time() < {BURN_SECONDS}: pass"


def test_shares_are_of_the_time_in_use() -> None:
    first = Times(used=100, stolen=10, ours=50)
    last = Times(used=190, stolen=20, ours=130)
    # 90 s used and 10 stolen; 80 of the used ones are ours.
    assert shares(first, last) == (0.1, 0.1)


def test_an_idle_machine_is_not_disturbed() -> None:
    assert shares(Times(1, 1, 1), Times(1, 1, 1)) == (0, 0)


def test_the_time_of_programs_that_have_ended_is_ours() -> None:
    before = times().ours
    subprocess.run([sys.executable, "-c", BURN], check=True)
    assert times().ours - before >= 0.9 * BURN_SECONDS


def test_a_watch_records_each_core_before_and_after() -> None:
    seen = Watch().conditions(NOT_PINNED, own_servers=False).as_json()
    assert [core["core"] for core in seen["cores"]] == CORES
    for core in seen["cores"]:
        before, after = core["speed"]
        assert min(before, after) > 0
        assert core["drop"] == pytest.approx(1 - after / before, abs=0.02)
    assert seen["others"] is None
