"""Which processes run on which cores.

A child inherits the cores of the thread that starts it. So the bench runs on the cores of what is not
measured (load, Kafka, PostgreSQL, mail sink), and moves for a moment to start what is measured.
"""

import contextlib
import os
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Final

import psutil

MEASURED_ALONE = "the measured process on the first core, all others on the rest"
NOT_PINNED = "not pinned"


# Those that this process may use.
CORES: Final = (
    sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else list(range(os.cpu_count() or 1))
)


def can_pin() -> bool:
    """Return True if there is a core for what is measured, and another one for the rest."""
    return hasattr(os, "sched_setaffinity") and len(CORES) > 1


@contextlib.contextmanager
def running_on(where: Collection[int]) -> Iterator[None]:
    """Move this thread to these cores while the block lasts; processes that it starts stay there."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, where)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def move_all(where: Collection[int]) -> None:
    """Move this process, its descendants and all their threads to these cores."""
    if not hasattr(os, "sched_setaffinity"):
        return
    for process in (psutil.Process(), *psutil.Process().children(recursive=True)):
        with contextlib.suppress(OSError):  # it has ended
            for thread in Path(f"/proc/{process.pid}/task").iterdir():
                with contextlib.suppress(OSError):
                    os.sched_setaffinity(int(thread.name), where)
