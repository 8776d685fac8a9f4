"""Starts and stops the stack of one data folder, in order and within time limits."""

import asyncio
import fcntl
import os
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from deploy.embedded import secret_files, state
from deploy.embedded.environment import (
    MIGRATION_URL,
    build_environment,
    embedded_servers,
    read_roles,
)
from deploy.embedded.errors import EmbeddedError
from deploy.embedded.ports import require_free_ports
from deploy.embedded.processes import orphans, programs
from deploy.embedded.processes.launch import OWNER_VARIABLE, Launch
from deploy.embedded.processes.supervisor import Group, Supervisor
from deploy.embedded.progress import Progress
from deploy.embedded.servers import kafka, postgres
from deploy.embedded.settings import SERVICES, Stack
from deploy.embedded.startup import ProgramStates, Startup
from deploy.embedded.state import State

# The groups stop one after the other: edge 10 s, gateway 60, consumers 60, servers 20. supervisord needs a
# second between them.
STOP_SECONDS = 160

_SERVER_PORTS = {
    "kafka": ("kafka", "kafka_controller"),
    "postgres": ("postgres",),
    "mailbox": ("mailbox", "smtp"),
}


def start(
    stack: Stack, configured: Mapping[str, str], progress: Progress
) -> tuple[State, subprocess.Popen[bytes]]:
    """Start everything, and wait until all services are ready. Return the state and supervisord's process.

    If the start fails, stops all programs and raises `EmbeddedError`. After an interrupt (Ctrl-C) the caller
    must call `stop`.
    """
    folder, servers = stack.folder, embedded_servers(configured)
    roles = read_roles(configured)
    with _exclusive_start(stack):
        if count := orphans.terminate(folder):
            progress(f"Stopped {count} processes that a crash had left running")
        names = ("edge", *SERVICES, *(name for server in servers for name in _SERVER_PORTS[server]))
        require_free_ports({name: stack.port(name) for name in names})
        launches = _prepare_servers(stack, servers, progress)
        database = postgres.database_urls(folder, stack.postgres_port) if "postgres" in servers else None
        variables = build_environment(stack, configured, database)
        environment = {**os.environ, **variables, OWNER_VARIABLE: str(folder)}
        supervisor = Supervisor(folder)
        progress("Starting " + ", ".join([*servers, "edge"]))
        process = supervisor.start(
            _groups(stack, launches, roles), {k: v for k, v in environment.items() if k != MIGRATION_URL}
        )
        try:
            states = ProgramStates(supervisor, process)
            startup = Startup(stack, servers, environment, supervisor, states, progress, roles)
            asyncio.run(startup.run())
            url = f"http://localhost:{stack.edge_port}"
            running = State(process.pid, url, servers, variables, startup.mail_problem)
            state.write(folder, running)
        except Exception:
            stop(folder, progress)
            raise
        return running, process


def stop(folder: Path, progress: Progress) -> bool:
    """Stop all programs in order, and kill what remains. Return True if anything ran."""
    running = orphans.find_supervisor(folder)
    if running:
        progress("Stopping the edge, the gateway, the consumers, then the servers")
        try:
            Supervisor(folder).shutdown()
        except (OSError, EmbeddedError):
            running.terminate()
        deadline = time.monotonic() + STOP_SECONDS
        while orphans.is_running(running) and time.monotonic() < deadline:
            time.sleep(0.1)
    count = orphans.terminate(folder)
    if count:
        progress(f"Stopped {count} processes that were left running")
    state.delete(folder)
    return bool(running or count)


@contextmanager
def _exclusive_start(stack: Stack) -> Iterator[None]:
    """Hold the lock of the data folder during the block.

    Raises `EmbeddedError` if a stack of this folder runs or is starting, or if another user owns the folder.
    """
    folder = stack.folder
    try:
        for each in (folder, folder / "run", folder / "logs"):
            secret_files.restrict(each)  # they contain leads and emails
    except PermissionError:
        raise EmbeddedError(
            f"The data folder {folder} belongs to another user: choose another with FASTCORE_EMBEDDED_DATA"
        ) from None
    with (folder / "run" / "up.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise EmbeddedError(
                f"FASTCore is already starting (data in {folder}): wait, or stop it with `make down`"
            ) from None
        if running := orphans.find_supervisor(folder):
            known = state.read(folder)
            condition = (
                f"is already running: pid {running.pid}, {known.url}"
                if known
                else "was interrupted while it started"
            )
            raise EmbeddedError(f"FASTCore {condition} (data in {folder}). Stop it with `make down`.")
        yield


def _prepare_servers(stack: Stack, servers: list[str], progress: Progress) -> list[Launch]:
    # In parallel: at the first start each needs seconds to format its storage or to download.
    folder = stack.folder
    prepare: dict[str, Callable[[], Launch]] = {
        "kafka": lambda: kafka.prepare(folder, stack.kafka_port, stack.kafka_controller_port, progress),
        "postgres": lambda: postgres.prepare(folder, stack.postgres_port, progress),
        "mailbox": lambda: programs.mailbox(folder, stack.smtp_port, stack.mailbox_port),
    }
    with ThreadPoolExecutor() as pool:
        return list(pool.map(lambda server: prepare[server](), servers))


def _groups(stack: Stack, servers: list[Launch], roles: Sequence[str]) -> list[Group]:
    gateway, *consumers = programs.services(stack, roles)
    groups = [
        Group("servers", tuple(servers), autostart=True),
        Group("consumers", tuple(consumers), autostart=False),
        Group("gateway", (gateway,), autostart=False),
        Group("edge", (programs.edge(stack),), autostart=True),
    ]
    return [group for group in groups if group.launches]
