"""What still runs of a data folder's stack, also after a crash, and how it is ended.

A process is ours when it carries the folder in its environment (or, for what rewrites its own,
in its command line), so that a stranger with a recycled pid is never touched.
"""

import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil

from deploy.embedded.processes.launch import OWNER_VARIABLE
from deploy.embedded.servers.postgres import home

_PARTS = {"java", "postgres"}


def find(folder: Path) -> list[psutil.Process]:
    """Answer the processes of this folder's stack."""
    return [process for process in psutil.process_iter() if _is_ours(process, folder)]


def supervisor(folder: Path) -> psutil.Process | None:
    """Answer the live supervisord of this folder."""
    try:
        process = psutil.Process(int((folder / "run" / "supervisord.pid").read_text()))
    except (OSError, ValueError, psutil.NoSuchProcess):
        return None
    return process if _is_ours(process, folder) else None


def lives(process: psutil.Process) -> bool:
    """Say whether the process still runs; one that only waits for its parent to notice does not."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def end(folder: Path, grace_seconds: float = 30) -> int:
    """End what is left, gently and then by force, and say how many there were."""
    count = len(find(folder))
    # Kafka and PostgreSQL last: a service that still commits, or leaves its group, needs them.
    _end(lambda: [process for process in find(folder) if _name(process) not in _PARTS], grace_seconds)
    _end(lambda: find(folder), grace_seconds)
    return count


def _end(remaining: Callable[[], list[psutil.Process]], grace_seconds: float) -> None:
    for process in remaining():
        # PostgreSQL would wait for its clients after a SIGTERM.
        _signal(process, signal.SIGINT if _name(process) == "postgres" else signal.SIGTERM)
    deadline = time.monotonic() + grace_seconds
    # Looked for anew: what is forked while we stop the others must go too.
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


def _is_ours(process: psutil.Process, folder: Path) -> bool:
    if process.pid == os.getpid() or not lives(process):
        return False
    try:
        cluster = str(home(folder) / "data")
        return process.environ().get(OWNER_VARIABLE) == str(folder) or cluster in process.cmdline()
    except (psutil.Error, OSError):
        return False
