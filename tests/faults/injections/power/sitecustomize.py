# ruff: noqa: INP001 - found by its folder, not as a package
"""Python imports this by itself where its folder is on PYTHONPATH: it notes what a process has fsynced.

So the suite can take away, after a `kill -9`, what a cut of the power would have taken: the kernel
keeps the pages of a killed process, a machine without power does not. The services know nothing of it.
"""

import json
import os
from pathlib import Path
from typing import Any

_NOTES = os.open(os.environ["FASTCORE_FAULTS_SYNCED"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)


def _noting(sync: Any) -> Any:
    def synced(descriptor: Any) -> None:
        number = descriptor if isinstance(descriptor, int) else descriptor.fileno()
        size = os.fstat(number).st_size
        sync(number)
        path = Path(f"/proc/self/fd/{number}").readlink()
        names = [each.name for each in path.iterdir()] if path.is_dir() else []
        os.write(_NOTES, json.dumps({"path": str(path), "size": size, "names": names}).encode() + b"\n")

    return synced


os.fsync = _noting(os.fsync)
os.fdatasync = _noting(os.fdatasync)
