"""The spool's files: append-only segments of checked lines. Blocking; no event loop, no Kafka.

A record is one line, `<CRC-32 as 8 hex digits> <JSON>`, between two newlines: a reader passes over a
torn or flipped line, so it hides neither the leads before it nor those behind it, and a person can
read the file. A segment is deleted as a whole once all of it is published; a crash in between
publishes some of it again, which its ids make harmless, and no cursor has to be kept on disk.
"""

import contextlib
import fcntl
import os
import time
import weakref
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final, Self

from pydantic_core import from_json, to_json

from services.ingest.lead_record import LeadRecord

SUFFIX: Final = ".spool"
DAMAGED: Final = ".damaged"
_CHECK_BYTES: Final = 8
_PROBE: Final = ".probe"
_PROBE_BYTES: Final = 4096  # a block, which a full disk does not have


@dataclass(frozen=True, slots=True)
class SpoolEntry:
    """A record as it was tried, and when, in seconds since 1970."""

    record: LeadRecord
    at: float


def encode(spooled: SpoolEntry) -> bytes:
    """Return a record as it stands in a segment."""
    record = spooled.record
    headers = [(name, value.decode()) for name, value in record.headers]
    body = to_json(
        {"at": spooled.at, "key": record.key.decode(), "value": record.value.decode(), "headers": headers}
    )
    return b"\n%08x %b\n" % (zlib.crc32(body), body)


def decode(data: bytes) -> Iterator[SpoolEntry | None]:
    """Yield the records of a segment in their order; None for a line that is not what was written."""
    for line in data.split(b"\n"):
        if line:
            yield _read(line)


def _read(line: bytes) -> SpoolEntry | None:
    check, _, body = line.partition(b" ")
    if len(check) != _CHECK_BYTES or check != b"%08x" % zlib.crc32(body):
        return None
    try:
        fields = from_json(body)
        headers = [(name, value.encode()) for name, value in fields["headers"]]
        return SpoolEntry(LeadRecord(fields["key"].encode(), fields["value"].encode(), headers), fields["at"])
    except (ValueError, LookupError, TypeError, AttributeError):  # written by another version
        return None


class SpoolFolder:
    """One worker's segments, held by a lock that dies with the process.

    Raises `OSError` where the disk is full, read-only or failing.
    """

    def __init__(self, path: Path, lock: IO[bytes]) -> None:
        self.path = path
        self._lock = lock
        self._open: IO[bytes] | None = None  # the segment that is written; the folder itself is 0700
        # A claim whose adoption is cancelled drops its folder, and lets go of the lock with it.
        weakref.finalize(self, lock.close)

    @classmethod
    def create(cls, root: Path) -> Self:
        """Make a folder of our own; others see it only once it is locked."""
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        name = f"{time.time_ns():020d}-{os.getpid()}"
        hidden = root / f".{name}"
        hidden.mkdir(mode=0o700)
        made = cls.claim(hidden)
        if made is None:
            raise OSError(f"{hidden} cannot be locked")
        made.path = hidden.rename(root / name)
        _sync_folder(root)
        return made

    @staticmethod
    def all_in(root: Path) -> list[Path]:
        """Return every worker's folder, the oldest first; what is hidden is being made.

        Raises `OSError` where the root cannot be read: `glob` would find nothing there.
        """
        try:
            with os.scandir(root) as found:
                return sorted(Path(each.path) for each in found if each.is_dir() and each.name[0] != ".")
        except FileNotFoundError:
            return []

    @classmethod
    def claim(cls, path: Path) -> Self | None:
        """Take over a folder that a dead worker left; None where its worker lives."""
        lock = (path / "lock").open("ab")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            return None
        return cls(path, lock)

    @staticmethod
    def files(path: Path, suffix: str) -> list[Path]:
        """Return a folder's files of this kind, the oldest first."""
        with os.scandir(path) as found:
            return sorted(Path(each.path) for each in found if each.name.endswith(suffix))

    def segments(self) -> list[Path]:
        """Return the segments, the oldest first."""
        return self.files(self.path, SUFFIX)

    def append(self, records: Iterable[SpoolEntry], segment_max_bytes: int) -> tuple[Path, int]:
        """Write records, return once they are on the disk: their segment, and how many bytes they take.

        After a failure the segment is never written again: what a failed fsync leaves behind is unknown,
        and a second one that succeeds would prove nothing. One that held nothing before is taken away,
        or a disk that stays full would get a new file for every lead that is refused.
        """
        known = self._open
        file = known or self._new()
        path = Path(file.name)
        data = b"".join(map(encode, records))
        try:
            file.write(data)
            file.flush()
            os.fdatasync(file.fileno())
        except OSError:
            self._open = None
            with contextlib.suppress(OSError):
                file.close()
            if known is None:
                _take_away(path)
            raise
        if file.tell() >= segment_max_bytes:
            self.seal()
        return path, len(data)

    def probe(self) -> None:
        """Write as much as a lead takes, return once it is on the disk, and remove it."""
        path = self.path / _PROBE
        try:
            with path.open("wb") as file:
                file.write(bytes(_PROBE_BYTES))
                file.flush()
                os.fdatasync(file.fileno())
        finally:
            _take_away(path)

    def _new(self) -> IO[bytes]:
        path = self.path / f"{time.time_ns():020d}{SUFFIX}"
        file = path.open("xb")
        try:
            _sync_folder(self.path)
        except OSError:
            file.close()
            _take_away(path)
            raise
        self._open = file
        return file

    def seal(self) -> None:
        """Write no more to the newest segment, so that it can be published and removed."""
        if self._open is not None:
            self._open.close()
            self._open = None

    def remove(self, segment: Path, *, damaged: bool) -> None:
        """Forget a published segment; keep one with a damaged line, for a person to look at."""
        if damaged:
            segment.rename(segment.with_suffix(DAMAGED))
        else:
            segment.unlink()

    def close(self) -> None:
        """Let go of the lock; take the folder away where it holds nothing any more."""
        self.seal()
        _take_away(self.path / _PROBE)
        with contextlib.suppress(OSError):
            if not any(path.name != "lock" for path in self.path.iterdir()):
                (self.path / "lock").unlink()
                self.path.rmdir()
        self._lock.close()


@dataclass
class Segment:
    """A file of the spool, and how much of it has been published by this process."""

    folder: SpoolFolder
    path: Path
    leads: int  # of a file that could not be read yet: 1, because it may hold some
    bytes: int
    oldest_at: float
    counted: bool = True
    published: int = 0
    refused: int = 0  # of these, what Kafka will never take

    @classmethod
    def unread(cls, folder: SpoolFolder, path: Path) -> Self:
        """Return a segment that was found on the disk; it is named after the nanosecond it was made in."""
        made_at = int(path.stem) / 1e9 if path.stem.isdecimal() else time.time()
        return cls(folder, path, leads=1, bytes=0, oldest_at=made_at, counted=False)

    def read(self) -> list[SpoolEntry | None]:
        """Return the lines, None for a damaged one, and note how many leads there are. Raises `OSError`."""
        self.bytes = self.path.stat().st_size
        read = list(decode(self.path.read_bytes()))
        records = [spooled for spooled in read if spooled]
        self.leads, self.counted = len(records), True
        if records:
            self.oldest_at = records[0].at
        return read


def _take_away(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.unlink()


def _sync_folder(path: Path) -> None:
    # A new file is on the disk only once its folder is.
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
