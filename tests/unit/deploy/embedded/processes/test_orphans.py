"""Which processes belong to a stack."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.embedded.processes import orphans
from deploy.embedded.processes.launch import OWNER_VARIABLE


@pytest.fixture
def sleepers(tmp_path: Path) -> Iterator[dict[str, subprocess.Popen[bytes]]]:
    """Start a process of this folder's stack, one of another stack, and one of none."""
    code = "import signal, sys; print('up', flush=True); signal.pause()"
    owners = {"ours": str(tmp_path), "another's": "/elsewhere/.fastcore", "none's": None}
    started = {}
    for name, owner in owners.items():
        environment = {**os.environ, **({OWNER_VARIABLE: owner} if owner else {})}
        started[name] = subprocess.Popen(
            [sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE
        )
    for process in started.values():
        assert process.stdout
        process.stdout.readline()
    yield started
    for process in started.values():
        process.kill()
        process.communicate()


def test_only_processes_of_the_folder_are_stopped(
    sleepers: dict[str, subprocess.Popen[bytes]], tmp_path: Path
) -> None:
    assert [process.pid for process in orphans.find_processes(tmp_path)] == [sleepers["ours"].pid]
    assert orphans.terminate(tmp_path) == 1
    assert sleepers["ours"].wait(5) == -signal.SIGTERM
    assert sleepers["another's"].poll() is None
    assert sleepers["none's"].poll() is None


def test_a_reused_pid_is_not_the_supervisor(
    sleepers: dict[str, subprocess.Popen[bytes]], tmp_path: Path
) -> None:
    (tmp_path / "run").mkdir()
    pidfile = tmp_path / "run" / "supervisord.pid"
    pidfile.write_text(str(sleepers["none's"].pid))
    assert orphans.find_supervisor(tmp_path) is None
    pidfile.write_text(str(sleepers["ours"].pid))
    found = orphans.find_supervisor(tmp_path)
    assert found
    assert found.pid == sleepers["ours"].pid
