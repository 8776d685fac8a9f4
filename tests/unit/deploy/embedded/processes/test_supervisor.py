"""The configuration that supervisord gets."""

import configparser
import os
import shlex
import signal
from pathlib import Path

from deploy.embedded.processes import programs
from deploy.embedded.processes.launch import Launch
from deploy.embedded.processes.supervisor import Group, render, socket_path
from deploy.embedded.settings import Stack


def _parse(text: str) -> configparser.RawConfigParser:
    parser = configparser.RawConfigParser()
    parser.read_string(text)
    return parser


def test_the_last_group_is_stopped_first(tmp_path: Path) -> None:
    groups = [
        Group(name, (Launch(f"one-of-{name}", ("sleep", "1")),), autostart=True)
        for name in ("servers", "edge")
    ]
    written = _parse(render(tmp_path, groups))
    # supervisord stops groups from the highest priority down, each after the previous one has stopped.
    assert int(written["group:edge"]["priority"]) > int(written["group:servers"]["priority"])


def test_a_program_has_its_own_stop_signal_and_timeout(tmp_path: Path) -> None:
    launch = Launch("db", ("db",), stop_signal=signal.SIGINT, stop_timeout_seconds=20, user="nobody")
    program = _parse(render(tmp_path, [Group("servers", (launch,), autostart=False)]))["program:db"]
    assert (program["stopsignal"], program["stopwaitsecs"]) == ("INT", "20")
    assert (program["user"], program["autostart"], program["autorestart"]) == ("nobody", "false", "true")


def test_a_command_survives_spaces_and_percent_signs(tmp_path: Path) -> None:
    command = ("/a b/run", "--prefix=%m [%p]", "it's")
    launch = Launch("odd", command)
    written = _parse(render(tmp_path, [Group("servers", (launch,), autostart=True)]))["program:odd"][
        "command"
    ]
    assert tuple(shlex.split(written.replace("%%", "%"))) == command


def test_services_may_stop_for_longer_than_they_drain() -> None:
    assert {launch.stop_timeout_seconds for launch in programs.services(Stack())} == {60}


def test_the_socket_of_a_deep_data_folder_has_a_short_path(tmp_path: Path) -> None:
    deep = tmp_path.joinpath(*["a-rather-long-name-for-a-folder"] * 4)
    assert len(os.fsencode(socket_path(deep))) < 90
    assert socket_path(deep) != socket_path(deep / "other")
    assert socket_path(Path("/srv/fastcore/.fastcore")).parent == Path("/srv/fastcore/.fastcore/run")
