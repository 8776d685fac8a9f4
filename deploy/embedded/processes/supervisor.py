"""Configures and starts supervisord, and calls it over XML-RPC."""

import hashlib
import http.client
import os
import shlex
import socket
import subprocess
import sys
import tempfile
import xmlrpc.client
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deploy.embedded.errors import EmbeddedError
from deploy.embedded.processes.launch import Launch
from deploy.embedded.settings import ROOT

# The path of a socket has at most 107 bytes on Linux and 103 on macOS. supervisord first binds a longer,
# temporary name.
_SOCKET_PATH_MAX = 88


@dataclass(frozen=True)
class Group:
    """Programs that start and stop together. At a shutdown, supervisord stops the groups in reverse order.

    Groups with `autostart` start with supervisord. The others are started by `Supervisor.start_group`.
    """

    name: str
    launches: tuple[Launch, ...]
    autostart: bool


def socket_path(folder: Path) -> Path:
    """Return the path of supervisord's socket.

    It is in /tmp if the path in the data folder would be too long.
    """
    path = folder / "run" / "supervisor.sock"
    if len(os.fsencode(path)) <= _SOCKET_PATH_MAX:
        return path
    digest = hashlib.sha256(os.fsencode(folder)).hexdigest()[:12]
    return Path(tempfile.gettempdir()) / f"fastcore-{os.getuid()}-{digest}" / "supervisor.sock"


def render(folder: Path, groups: Iterable[Group]) -> str:
    """Return supervisord's configuration for these groups of programs."""
    sections = [
        _section(
            "supervisord",
            nodaemon="true",
            silent="true",
            user="root" if os.geteuid() == 0 else None,  # confirms to supervisord that root is intended
            logfile=folder / "logs" / "supervisord.log",
            logfile_maxbytes="5MB",
            logfile_backups=1,
            pidfile=folder / "run" / "supervisord.pid",
            childlogdir=folder / "logs",
        ),
        _section("unix_http_server", file=socket_path(folder), chmod="0700"),
        _section(
            "rpcinterface:supervisor",
            **{"supervisor.rpcinterface_factory": "supervisor.rpcinterface:make_main_rpcinterface"},
        ),
    ]
    for priority, group in enumerate(groups, start=1):
        names = ",".join(launch.name for launch in group.launches)
        sections.append(_section(f"group:{group.name}", programs=names, priority=priority))
        sections += [_program_section(folder, launch, autostart=group.autostart) for launch in group.launches]
    return "\n".join(sections)


def _program_section(folder: Path, launch: Launch, *, autostart: bool) -> str:
    return _section(
        f"program:{launch.name}",
        command=shlex.join(launch.command),
        directory=launch.folder or ROOT,
        user=launch.user,
        environment=",".join(f'{name}="{value}"' for name, value in launch.environment.items()) or None,
        autostart=str(autostart).lower(),
        autorestart="true",
        startsecs=1,
        # supervisord waits a second longer after each failure. It should practically never give up.
        startretries=1000,
        stopsignal=launch.stop_signal.name.removeprefix("SIG"),
        stopwaitsecs=launch.stop_timeout_seconds,
        killasgroup="true",
        redirect_stderr="true",
        stdout_logfile=folder / "logs" / f"{launch.name}.log",
        stdout_logfile_maxbytes="10MB",
        stdout_logfile_backups=2,
    )


def _section(name: str, **options: object) -> str:
    # Escape %, because supervisord expands %(...)s in every value.
    lines = [
        f"{key} = {str(value).replace('%', '%%')}" for key, value in options.items() if value is not None
    ]
    return "\n".join([f"[{name}]", *lines, ""])


class Supervisor:
    """The supervisord of one data folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def start(self, groups: Iterable[Group], environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
        """Start supervisord, which starts the groups with `autostart`.

        supervisord gets its own session, so that a Ctrl-C in this terminal does not reach it.
        """
        run = self._folder / "run"
        configuration = run / "supervisord.conf"
        configuration.write_text(render(self._folder, groups))
        _require_private(socket_path(self._folder).parent)
        with (self._folder / "logs" / "supervisord.out").open("wb") as out:
            return subprocess.Popen(
                [sys.executable, "-m", "supervisor.supervisord", "-c", str(configuration)],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                cwd=ROOT,
                env=dict(environment),
                start_new_session=True,
            )

    def programs(self) -> dict[str, dict[str, Any]]:
        """Return what supervisord reports about each program, by program name.

        Returns an empty dict if supervisord does not answer.
        """
        try:
            return {info["name"]: info for info in self._call("getAllProcessInfo")}
        except (OSError, http.client.HTTPException):
            return {}

    def start_group(self, name: str) -> None:
        """Start the programs of a group. Does not wait until they run."""
        self._call("startProcessGroup", name, False)

    def shutdown(self) -> None:
        """Stop all programs, the last group first, and then supervisord.

        Does not wait until they have stopped. Raises `OSError` if supervisord does not answer.
        """
        self._call("shutdown")

    def _call(self, method: str, *arguments: object) -> Any:
        transport = _UnixTransport(socket_path(self._folder))
        with xmlrpc.client.ServerProxy("http://localhost/RPC2", transport=transport) as server:
            try:
                return getattr(server.supervisor, method)(*arguments)
            except xmlrpc.client.Fault as fault:
                raise EmbeddedError(f"supervisord refused {method}: {fault.faultString}") from fault


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=10)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


class _UnixTransport(xmlrpc.client.Transport):
    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path

    def make_connection(self, host: Any) -> http.client.HTTPConnection:
        # The transport closes this connection at the end.
        self._connection = host, _UnixConnection(self._path)
        return self._connection[1]


def _require_private(folder: Path) -> None:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if folder.stat().st_uid != os.getuid():
        raise EmbeddedError(f"{folder} belongs to another user: delete it as that user, or move the checkout")
