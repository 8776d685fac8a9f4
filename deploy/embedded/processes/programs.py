"""How to start this checkout's own programs: the mailbox, the edge and the six services."""

import sys
from pathlib import Path

from deploy.embedded.processes.launch import Launch
from deploy.embedded.settings import SERVICES, Stack

# The services drain within 50 s (FASTCORE_HTTP_GRACEFUL_TIMEOUT_SECONDS). After 60 s supervisord kills them.
SERVICE_STOP_SECONDS = 60

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


def services(stack: Stack) -> list[Launch]:
    """Return the launches of the six services, ingest first."""
    return [
        Launch(
            name=name,
            command=(sys.executable, "-m", "services", name),
            environment=_PYTHON
            | {"FASTCORE_HTTP_HOST": "127.0.0.1", "FASTCORE_HTTP_PORT": str(stack.port(name))},
            stop_timeout_seconds=SERVICE_STOP_SECONDS,
        )
        for name in SERVICES
    ]


def _python(name: str, module: str, *arguments: str) -> Launch:
    return Launch(
        name=name,
        command=(sys.executable, "-m", module, *arguments),
        environment=_PYTHON,
        stop_timeout_seconds=10,
    )
