"""A spool segment in memory: its file, its entries, and how many of them are published."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from services.ingest.spool.entries import SpoolEntry, decode
from services.ingest.spool.folder import SpoolFolder


@dataclass
class Segment:
    """A file of the spool, and how many of its leads this process has published."""

    folder: SpoolFolder
    path: Path
    leads: int
    bytes: int
    oldest_at: float
    counted: bool = True
    """False for a file that was never read. `leads` is 1 then, because it may hold some."""
    published: int = 0
    rejected: int = 0
    """How many of the published leads Kafka rejects permanently."""

    @classmethod
    def from_file(cls, folder: SpoolFolder, path: Path) -> Self:
        """Return a segment that has not been read yet.

        The file's name is its creation time in nanoseconds.
        """
        created_at = int(path.stem) / 1e9 if path.stem.isdecimal() else time.time()
        return cls(folder, path, leads=1, bytes=0, oldest_at=created_at, counted=False)

    def read(self) -> list[SpoolEntry | None]:
        """Return the entries, with None for each damaged line, and update the counts. Raises `OSError`."""
        self.bytes = self.path.stat().st_size
        lines = list(decode(self.path.read_bytes()))
        entries = [entry for entry in lines if entry]
        self.leads, self.counted = len(entries), True
        if entries:
            self.oldest_at = entries[0].at
        return lines
