"""A worker's folder of spool segments, and the lock that shows that the worker is alive. Blocking I/O only.

A segment is an append-only file. It is deleted once all of its leads are published. If the process crashes
before the deletion, all leads of the segment are published again. That is harmless, because the persister
detects duplicates by the lead's id.
"""

import contextlib
import fcntl
import os
import time
import weakref
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Final, Self

from services.ingest.spool.entries import SpoolEntry, encode

SEGMENT_SUFFIX: Final = ".spool"
DAMAGED_SUFFIX: Final = ".damaged"
_PROBE_NAME: Final = ".probe"
_PROBE_BYTES: Final = 4096  # one block, which a full disk does not have


class SpoolFolder:
    """One worker's segments, locked with `flock`, so that the lock ends with the process.

    If the disk is full, read-only or failing, the methods raise `OSError`. Only `close` and `count_segments`
    ignore such an error.
    """

    def __init__(self, path: Path, lock: IO[bytes]) -> None:
        self.path = path
        self._lock = lock
        self._open_segment: IO[bytes] | None = None
        # Releases the lock if an adoption is cancelled and nobody closes the folder.
        weakref.finalize(self, lock.close)

    @classmethod
    def create(cls, root: Path) -> Self:
        """Create a locked folder for this process. Other workers cannot see it until it is locked."""
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        name = f"{time.time_ns():020d}-{os.getpid()}"
        hidden = root / f".{name}"
        hidden.mkdir(mode=0o700)
        folder = cls.claim(hidden)
        if folder is None:
            raise OSError(f"{hidden} cannot be locked")
        folder.path = hidden.rename(root / name)
        _fsync_directory(root)
        return folder

    @classmethod
    def claim(cls, path: Path) -> Self | None:
        """Lock a dead worker's folder and return it. Return None if the folder's worker is alive."""
        lock = (path / "lock").open("ab")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            return None
        return cls(path, lock)

    @staticmethod
    def list_all(root: Path) -> list[Path]:
        """Return the folders of all workers, the oldest first.

        Folders that are still being created are left out. Returns an empty list if `root` does not exist.
        Raises `OSError` if `root` cannot be read (`glob` would hide that error and return nothing).
        """
        try:
            with os.scandir(root) as entries:
                return sorted(Path(each.path) for each in entries if each.is_dir() and each.name[0] != ".")
        except FileNotFoundError:
            return []

    @staticmethod
    def list_files(path: Path, suffix: str) -> list[Path]:
        """Return a folder's files with this suffix, the oldest first."""
        with os.scandir(path) as entries:
            return sorted(Path(each.path) for each in entries if each.name.endswith(suffix))

    @classmethod
    def count_segments(cls, path: Path) -> int:
        """Return the number of segments in a folder. A folder that cannot be read counts as one segment."""
        with contextlib.suppress(OSError):
            return len(cls.list_files(path, SEGMENT_SUFFIX))
        return 1

    def list_segments(self) -> list[Path]:
        """Return the paths of the segments, the oldest first."""
        return self.list_files(self.path, SEGMENT_SUFFIX)

    def append(self, entries: Iterable[SpoolEntry], segment_max_bytes: int) -> tuple[Path, int]:
        """Write entries and fsync them. Return the path of the segment and the entries' size in bytes.

        After a failure, nothing more is written to the segment: a failed fsync leaves the file in an unknown
        state, and a later successful fsync does not repair it. If the segment is new, it is removed, so that
        a full disk does not collect one file for each rejected lead.
        """
        open_segment = self._open_segment
        file = open_segment or self._create_segment()
        path = Path(file.name)
        data = b"".join(map(encode, entries))
        try:
            file.write(data)
            file.flush()
            os.fdatasync(file.fileno())
        except OSError:
            self._open_segment = None
            with contextlib.suppress(OSError):
                file.close()
            if open_segment is None:
                _unlink_quietly(path)
            raise
        if file.tell() >= segment_max_bytes:
            self.seal()
        return path, len(data)

    def _create_segment(self) -> IO[bytes]:
        path = self.path / f"{time.time_ns():020d}{SEGMENT_SUFFIX}"
        file = path.open("xb")
        try:
            _fsync_directory(self.path)
        except OSError:
            file.close()
            _unlink_quietly(path)
            raise
        self._open_segment = file
        return file

    def probe(self) -> None:
        """Check that the disk can store a lead: write a file of a lead's size, fsync it, and remove it."""
        path = self.path / _PROBE_NAME
        try:
            with path.open("wb") as file:
                file.write(bytes(_PROBE_BYTES))
                file.flush()
                os.fdatasync(file.fileno())
        finally:
            _unlink_quietly(path)

    def seal(self) -> None:
        """Close the segment that is being written, so that it can be published and removed."""
        if self._open_segment is not None:
            self._open_segment.close()
            self._open_segment = None

    def remove_segment(self, segment: Path, *, damaged: bool) -> None:
        """Delete a published segment. Rename a damaged segment instead, so that a person can examine it."""
        if damaged:
            segment.rename(segment.with_suffix(DAMAGED_SUFFIX))
        else:
            segment.unlink()

    def close(self) -> None:
        """Release the lock, and delete the folder if it is empty."""
        self.seal()
        _unlink_quietly(self.path / _PROBE_NAME)
        with contextlib.suppress(OSError):
            if not any(path.name != "lock" for path in self.path.iterdir()):
                (self.path / "lock").unlink()
                self.path.rmdir()
        self._lock.close()


def _unlink_quietly(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.unlink()


def _fsync_directory(path: Path) -> None:
    # A new file survives a power loss only after an fsync of its directory.
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
