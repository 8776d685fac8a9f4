"""Reads from /proc what a process and its children use: processor time, wake-ups and memory."""

import contextlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil

_TICKS: Final = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Usage:
    """What a program has used since its start: processor seconds and wake-ups. `pss_mb` is what it has now.

    A wake-up is a voluntary context switch: a thread waited for something. `pss_mb` counts a page that n
    processes share as one n-th.
    """

    seconds: float
    wakeups: int
    pss_mb: float


@dataclass(frozen=True)
class Row:
    """What one program needs: processor milliseconds a minute, wake-ups a second, and memory in MB."""

    ms_per_minute: float
    wakeups_per_second: float
    pss_mb: float

    @property
    def core_percent(self) -> float:
        """The share of one core, in per cent."""
        return self.ms_per_minute / 600


def read_usage(pid: int) -> Usage:
    """Return the usage of a process with all its children.

    Raises `psutil.NoSuchProcess` or `FileNotFoundError` if the process has ended.
    """
    root = psutil.Process(pid)
    usages = [_read_process(pid)]
    for child in root.children(recursive=True):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # a child may end at any time
            usages.append(_read_process(child.pid))
    return Usage(
        sum(each.seconds for each in usages) + _seconds_of_ended_children(pid),
        sum(each.wakeups for each in usages),
        sum(each.pss_mb for each in usages),
    )


def compare(before: Mapping[str, Usage], after: Mapping[str, Usage], seconds: float) -> dict[str, Row]:
    """Return what each program needed in the `seconds` between two readings."""
    return {
        name: Row(
            60_000 * (after[name].seconds - before[name].seconds) / seconds,
            (after[name].wakeups - before[name].wakeups) / seconds,
            after[name].pss_mb,
        )
        for name in before
    }


def total(rows: Mapping[str, Row]) -> Row:
    """Return the sum of several programs."""
    return Row(
        sum(row.ms_per_minute for row in rows.values()),
        sum(row.wakeups_per_second for row in rows.values()),
        sum(row.pss_mb for row in rows.values()),
    )


def _read_process(pid: int) -> Usage:
    folder = Path(f"/proc/{pid}")
    nanoseconds, wakeups = 0, 0
    for thread in (folder / "task").iterdir():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            # The scheduler's own count, in nanoseconds: /proc/PID/stat has ticks of 10 ms.
            nanoseconds += int((thread / "schedstat").read_text().split()[0])
            wakeups += _field(thread / "status", "voluntary_ctxt_switches")
    return Usage(nanoseconds / 1e9, wakeups, _field(folder / "smaps_rollup", "Pss") * 1024 / 1e6)


def _seconds_of_ended_children(pid: int) -> float:
    """Return the processor time of the children that have ended, such as a worker of autovacuum."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[13:15])) / _TICKS


def _field(path: Path, name: str) -> int:
    lines = path.read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))
