"""Which cores processes run on."""

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.bench.placement import CORES, move_all, running_on

WAITING = [sys.executable, "-c", "print(flush=True); input()"]


@pytest.fixture
def child() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(WAITING, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout
        process.stdout.readline()
        yield process
        process.communicate(b"\n")


def test_a_process_stays_where_it_was_started() -> None:
    with running_on(CORES[:1]):
        code = "import os; print(sorted(os.sched_getaffinity(0)))"
        said = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, check=True).stdout
    assert said.decode().strip() == str(CORES[:1])
    assert sorted(os.sched_getaffinity(0)) == CORES


def test_the_descendants_of_the_bench_move_with_it(child: subprocess.Popen[bytes]) -> None:
    move_all(CORES[-1:])
    try:
        assert [*os.sched_getaffinity(child.pid)] == [*os.sched_getaffinity(0)] == CORES[-1:]
    finally:
        move_all(CORES)
    assert sorted(os.sched_getaffinity(child.pid)) == CORES
