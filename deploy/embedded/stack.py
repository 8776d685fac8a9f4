"""Start and stop the whole stack of one data folder, in order and within bounds."""

import asyncio
import fcntl
import os
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from deploy.embedded import secret_files, state
from deploy.embedded.bringup import BringUp, Watch
from deploy.embedded.environment import MIGRATION_URL, assemble, embedded_parts
from deploy.embedded.errors import EmbeddedError
from deploy.embedded.ports import refuse_used
from deploy.embedded.processes import orphans, programs
from deploy.embedded.processes.launch import OWNER_VARIABLE, Launch
from deploy.embedded.processes.supervisor import Group, Supervisor
from deploy.embedded.progress import Progress
from deploy.embedded.servers import kafka, postgres
from deploy.embedded.settings import SERVICES, Stack
from deploy.embedded.state import State

# What the groups may take, one after the other: edge 10, gateway 60, consumers 60, parts 20, and
# supervisord a second between them.
STOP_SECONDS = 160

_PORTS_OF_PARTS = {
    "kafka": ("kafka", "kafka_controller"),
    "postgres": ("postgres",),
    "mailbox": ("mailbox", "smtp"),
}


def start(
    stack: Stack, given: Mapping[str, str], progress: Progress
) -> tuple[State, subprocess.Popen[bytes]]:
    """Start everything and answer when it is ready. What fails is stopped; who interrupts, stops it."""
    folder, parts = stack.folder, embedded_parts(given)
    with _starting(stack):
        if count := orphans.end(folder):
            progress(f"Ended {count} processes that a crash had left behind")
        names = ("edge", *SERVICES, *(name for part in parts for name in _PORTS_OF_PARTS[part]))
        refuse_used({name: stack.port(name) for name in names})
        launches = _prepare(stack, parts, progress)
        database = postgres.urls(folder, stack.postgres_port) if "postgres" in parts else None
        made = assemble(stack, given, database)
        environment = {**os.environ, **made, OWNER_VARIABLE: str(folder)}
        supervisor = Supervisor(folder)
        progress("Starting " + ", ".join([*parts, "edge"]))
        process = supervisor.start(
            _groups(stack, launches), {k: v for k, v in environment.items() if k != MIGRATION_URL}
        )
        try:
            watch = Watch(supervisor, process)
            asyncio.run(BringUp(stack, parts, environment, supervisor, watch, progress).run())
            ready = State(process.pid, f"http://localhost:{stack.edge_port}", parts, made)
            state.write(folder, ready)
        except Exception:
            stop(folder, progress)
            raise
        return ready, process


def stop(folder: Path, progress: Progress) -> bool:
    """Stop everything in order, by force at last; say whether anything ran."""
    running = orphans.supervisor(folder)
    if running:
        progress("Stopping the edge, the gateway, the consumers, then what they stand on")
        try:
            Supervisor(folder).shutdown()
        except (OSError, EmbeddedError):
            running.terminate()
        deadline = time.monotonic() + STOP_SECONDS
        while orphans.lives(running) and time.monotonic() < deadline:
            time.sleep(0.1)
    count = orphans.end(folder)
    if count:
        progress(f"Ended {count} processes that were left behind")
    state.forget(folder)
    return bool(running or count)


@contextmanager
def _starting(stack: Stack) -> Iterator[None]:
    folder = stack.folder
    try:
        for each in (folder, folder / "run", folder / "logs"):
            secret_files.restrict(each)  # they hold leads and emails
    except PermissionError:
        raise EmbeddedError(f"The data folder {folder} belongs to another user: choose another") from None
    with (folder / "run" / "up.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise EmbeddedError(f"FASTCore is being started already (data in {folder})") from None
        if running := orphans.supervisor(folder):
            known = state.read(folder)
            said = (
                f"is running already: pid {running.pid}, {known.url}" if known else "was cut off in its start"
            )
            raise EmbeddedError(f"FASTCore {said} (data in {folder}). Stop it with `make down`.")
        yield


def _prepare(stack: Stack, parts: list[str], progress: Progress) -> list[Launch]:
    # Side by side: the first time, each formats or fetches for seconds.
    folder = stack.folder
    makers: dict[str, Callable[[], Launch]] = {
        "kafka": lambda: kafka.prepare(folder, stack.kafka_port, stack.kafka_controller_port, progress),
        "postgres": lambda: postgres.prepare(folder, stack.postgres_port, progress),
        "mailbox": lambda: programs.mailbox(folder, stack.smtp_port, stack.mailbox_port),
    }
    with ThreadPoolExecutor() as pool:
        return list(pool.map(lambda part: makers[part](), parts))


def _groups(stack: Stack, parts: list[Launch]) -> list[Group]:
    gateway, *consumers = programs.services(stack)
    groups = [
        Group("parts", tuple(parts), autostart=True),
        Group("consumers", tuple(consumers), autostart=False),
        Group("gateway", (gateway,), autostart=False),
        Group("front", (programs.edge(stack),), autostart=True),
    ]
    return [group for group in groups if group.launches]
