"""A lock between the workers of one test run, and between runs on one machine."""

import contextlib
import fcntl
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def one_at_a_time(name: str) -> Iterator[None]:
    """Hold the lock of this name while the block lasts. The system releases it if the process dies."""
    path = Path(tempfile.gettempdir()) / f"fastcore-tests-{os.getuid()}-{name}.lock"
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
