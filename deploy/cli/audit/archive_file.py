"""Reads the files of archived partitions (docs/audit-log.md)."""

import gzip
from collections.abc import Iterator, Sequence
from pathlib import Path


def read_archives(paths: Sequence[Path]) -> Iterator[bytes]:
    """Yield the entries of archives, oldest first whatever the order of the paths is, without line breaks.

    Raises `OSError`, also for a file that is no archive, and `EOFError` for one that was cut off.
    """
    for path in sorted(paths, key=_first_range):
        with gzip.open(path, "rb") as lines:
            for line in lines:
                yield line.removesuffix(b"\n")


def _first_range(path: Path) -> tuple[int, str]:
    number = path.name.partition(".")[0].rpartition("_")[2]
    return (int(number) if number.isdecimal() else -1, path.name)
