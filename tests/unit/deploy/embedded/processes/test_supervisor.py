"""supervisord is told what we mean, and only our own processes are ended."""

import configparser
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.embedded.processes import orphans, programs
from deploy.embedded.processes.launch import OWNER_VARIABLE, Launch
from deploy.embedded.processes.supervisor import Group, render, socket_path
from deploy.embedded.settings import Stack


def _read(text: str) -> configparser.RawConfigParser:
    parser = configparser.RawConfigParser()
    parser.read_string(text)
    return parser


def test_the_last_group_is_stopped_first(tmp_path: Path) -> None:
    groups = [
        Group(name, (Launch(f"one-of-{name}", ("sleep", "1")),), autostart=True)
        for name in ("parts", "front")
    ]
    written = _read(render(tmp_path, groups))
    # supervisord stops groups from the highest priority down, each when the one before has ended.
    assert int(written["group:front"]["priority"]) > int(written["group:parts"]["priority"])


def test_a_program_is_ended_by_its_own_signal_within_its_own_time(tmp_path: Path) -> None:
    launch = Launch("db", ("db",), stop_signal=signal.SIGINT, stop_timeout_seconds=20, user="nobody")
    program = _read(render(tmp_path, [Group("parts", (launch,), autostart=False)]))["program:db"]
    assert (program["stopsignal"], program["stopwaitsecs"]) == ("INT", "20")
    assert (program["user"], program["autostart"], program["autorestart"]) == ("nobody", "false", "true")


def test_a_command_survives_spaces_and_percent_signs(tmp_path: Path) -> None:
    command = ("/a b/run", "--prefix=%m [%p]", "it's")
    launch = Launch("odd", command)
    written = _read(render(tmp_path, [Group("parts", (launch,), autostart=True)]))["program:odd"]["command"]
    assert tuple(shlex.split(written.replace("%%", "%"))) == command


def test_services_have_longer_to_stop_than_they_take_to_drain() -> None:
    assert {launch.stop_timeout_seconds for launch in programs.services(Stack())} == {60}


def test_the_socket_of_a_deep_checkout_has_a_short_path(tmp_path: Path) -> None:
    deep = tmp_path.joinpath(*["a-rather-long-name-for-a-folder"] * 4)
    assert len(os.fsencode(socket_path(deep))) < 90
    assert socket_path(deep) != socket_path(deep / "other")
    assert socket_path(Path("/srv/fastcore/.fastcore")).parent == Path("/srv/fastcore/.fastcore/run")


@pytest.fixture
def sleepers(tmp_path: Path) -> Iterator[dict[str, subprocess.Popen[bytes]]]:
    """One process of this folder's stack, one of another's, one of nobody's."""
    code = "import signal, sys; print('up', flush=True); signal.pause()"
    owners = {"ours": str(tmp_path), "another's": "/elsewhere/.fastcore", "nobody's": None}
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


def test_only_our_own_processes_are_ended(
    sleepers: dict[str, subprocess.Popen[bytes]], tmp_path: Path
) -> None:
    assert [process.pid for process in orphans.find(tmp_path)] == [sleepers["ours"].pid]
    assert orphans.end(tmp_path) == 1
    assert sleepers["ours"].wait(5) == -signal.SIGTERM
    assert sleepers["another's"].poll() is None
    assert sleepers["nobody's"].poll() is None


def test_a_recycled_pid_is_not_taken_for_our_supervisor(
    sleepers: dict[str, subprocess.Popen[bytes]], tmp_path: Path
) -> None:
    (tmp_path / "run").mkdir()
    pidfile = tmp_path / "run" / "supervisord.pid"
    pidfile.write_text(str(sleepers["nobody's"].pid))
    assert orphans.supervisor(tmp_path) is None
    pidfile.write_text(str(sleepers["ours"].pid))
    found = orphans.supervisor(tmp_path)
    assert found
    assert found.pid == sleepers["ours"].pid
