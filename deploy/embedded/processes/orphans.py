"""Finds and stops the processes of a data folder's stack, even those that a crash left running.

A process belongs to the stack if its environment names the data folder. Some programs overwrite their
environment. Such a process belongs to the stack if its command line names the database's folder. A stored pid
is not enough: the system may have given it to an unrelated process.
"""

import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil

from deploy.embedded.processes.launch import OWNER_VARIABLE
from deploy.embedded.servers.postgres import cluster_folder

_SERVERS = {"java", "postgres"}


def find_processes(folder: Path) -> list[psutil.Process]:
    """Return the processes of this folder's stack."""
    return [process for process in psutil.process_iter() if _belongs_to(process, folder)]


def find_supervisor(folder: Path) -> psutil.Process | None:
    """Return the running supervisord of this folder, or None."""
    try:
        process = psutil.Process(int((folder / "run" / "supervisord.pid").read_text()))
    except (OSError, ValueError, psutil.NoSuchProcess):
        return None
    return process if _belongs_to(process, folder) else None


def is_running(process: psutil.Process) -> bool:
    """Return True if the process runs. A zombie does not run."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def terminate(folder: Path, grace_seconds: float = 30) -> int:
    """Stop the stack's processes, and return how many there were.

    Processes that still run after the grace period get SIGKILL.
    """
    count = len(find_processes(folder))
    # Kafka and PostgreSQL last, because a service needs them to commit and to leave its group.
    _terminate(
        lambda: [process for process in find_processes(folder) if _name(process) not in _SERVERS],
        grace_seconds,
    )
    _terminate(lambda: find_processes(folder), grace_seconds)
    return count


def _terminate(remaining: Callable[[], list[psutil.Process]], grace_seconds: float) -> None:
    for process in remaining():
        # At SIGTERM, PostgreSQL waits for its clients to disconnect.
        _signal(process, signal.SIGINT if _name(process) == "postgres" else signal.SIGTERM)
    deadline = time.monotonic() + grace_seconds
    # List the processes again each time, to include those that were forked meanwhile.
    while (left := remaining()) and time.monotonic() < deadline:
        time.sleep(0.1)
    for process in left:
        _signal(process, signal.SIGKILL)
    psutil.wait_procs(left, timeout=5)


def _name(process: psutil.Process) -> str:
    try:
        return process.name()
    except psutil.Error:
        return ""


def _signal(process: psutil.Process, number: signal.Signals) -> None:
    with suppress(psutil.NoSuchProcess):
        process.send_signal(number)


def _belongs_to(process: psutil.Process, folder: Path) -> bool:
    if process.pid == os.getpid() or not is_running(process):
        return False
    try:
        cluster = str(cluster_folder(folder) / "data")
        return process.environ().get(OWNER_VARIABLE) == str(folder) or cluster in process.cmdline()
    except (psutil.Error, OSError):
        return False
