"""How to start this checkout's own programs: the mailbox, the edge and the six services."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from deploy.embedded.processes.launch import Launch
from deploy.embedded.settings import SERVICES, Stack

# The services drain within 50 s (FASTCORE_HTTP_GRACEFUL_TIMEOUT_SECONDS). After 60 s supervisord kills them.
SERVICE_STOP_SECONDS = 60

ONE_PROCESS: Final = "services"
"""The program with the services that share one process."""

_PYTHON = {
    "PYTHONUNBUFFERED": "1",
    # Let threads share arenas of the C library's allocator: the default of eight per core wastes memory.
    "MALLOC_ARENA_MAX": "2",
}


def mailbox(data_dir: Path, smtp_port: int, http_port: int) -> Launch:
    """Return the launch of the mailbox."""
    return _python(
        "mailbox",
        "deploy.embedded.mailbox",
        *("--folder", str(data_dir / "mails")),
        *("--smtp-port", str(smtp_port)),
        *("--http-port", str(http_port)),
    )


def edge(stack: Stack) -> Launch:
    """Return the launch of the edge."""
    return _python(
        "edge",
        "deploy.embedded.servers.edge",
        *("--port", str(stack.edge_port)),
        *("--ingest", stack.url("ingest")),
        *("--admin", stack.url("admin")),
        *("--folder", str(stack.folder / "run")),
    )


def program_of(service: str, roles: Sequence[str]) -> str:
    """Return the program that runs a service. `roles` are the services that share one process."""
    return ONE_PROCESS if len(roles) > 1 and service in roles else service


def services(stack: Stack, roles: Sequence[str] = ()) -> list[Launch]:
    """Return the launches of the six services, that of ingest first.

    `roles` are the services that share one process, the program `services`. The others have their own.
    """
    members: dict[str, list[str]] = {}
    for service in SERVICES:
        members.setdefault(program_of(service, roles), []).append(service)
    return [_service(stack, program, names) for program, names in members.items()]


def _service(stack: Stack, program: str, names: Sequence[str]) -> Launch:
    several = len(names) > 1
    ports = ",".join(f"{name}={stack.port(name)}" for name in names) if several else ""
    return Launch(
        name=program,
        command=(sys.executable, "-m", "services", ",".join(names)),
        environment=_PYTHON
        | {
            "FASTCORE_HTTP_HOST": "127.0.0.1",
            "FASTCORE_HTTP_PORT": "" if several else str(stack.port(program)),
            "FASTCORE_HTTP_PORTS": ports,
        },
        stop_timeout_seconds=SERVICE_STOP_SECONDS,
    )


def _python(name: str, module: str, *arguments: str) -> Launch:
    return Launch(
        name=name,
        command=(sys.executable, "-m", module, *arguments),
        environment=_PYTHON,
        stop_timeout_seconds=10,
    )
