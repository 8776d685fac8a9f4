"""What all workers of a gateway have in their spools: the limits apply to the sum."""

import contextlib
import mmap
import struct
from pathlib import Path
from typing import Final

from runtime.worker import Worker

_SLOT: Final = struct.Struct("=qq")  # leads, bytes
_FILE: Final = "spool"


class SpoolTotals:
    """Numbers in memory that the workers share. Each worker writes only its own.

    The supervisor clears the numbers of a worker that has died. Another worker adopts its leads within
    seconds, and counts them then.
    """

    def __init__(self, worker: Worker) -> None:
        self._number = worker.number - 1
        size = worker.count * _SLOT.size
        path = worker.folder / _FILE
        with path.open("a+b") as file:
            file.truncate(size)
            self._memory = mmap.mmap(file.fileno(), size)
        self.write(0, 0)

    def write(self, leads: int, size: int) -> None:
        """Set how many leads and bytes this worker has in its spool."""
        _SLOT.pack_into(self._memory, self._number * _SLOT.size, leads, size)

    def read(self) -> tuple[int, int]:
        """Return the leads and bytes of all workers."""
        leads, sizes = zip(*_SLOT.iter_unpack(self._memory), strict=True)
        return sum(leads), sum(sizes)

    def close(self) -> None:
        """Release the memory."""
        self._memory.close()


def clear_total(folder: Path, number: int) -> None:
    """Set the numbers of a worker to 0. `folder` is that of the workers."""
    with contextlib.suppress(OSError), (folder / _FILE).open("r+b") as file:
        file.seek((number - 1) * _SLOT.size)
        file.write(bytes(_SLOT.size))
