"""The record of runs: a JSON object in each line. It has ids and no personal data.

`kind` is `run` (at its start: commit, machine, date, seed, patience), `round`, or `end` (minutes, and why).
A run that was killed has no end; its rounds are valid.
"""

import json
import os
import platform
import subprocess
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

from tests.faults.runner.choice import Counts

ROOT = Path(__file__).parents[3]


class OtherCommit(Exception):
    """The record is of another commit. Start another record."""


class Record:
    """A file of rounds, to which several runs of one commit can be added."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lines: list[dict[str, Any]] = read(path) if path.exists() else []

    @property
    def rounds(self) -> list[dict[str, Any]]:
        return [line for line in self.lines if line["kind"] == "round"]

    def begin(self, commit: str, about: Mapping[str, Any]) -> str:
        """Add the line of a new run, and return its name. Raises `OtherCommit`."""
        for line in self.lines:
            if line["kind"] == "run" and line["commit"] != commit:
                raise OtherCommit(f"{self.path} is of the commit {line['commit']}, and this one is {commit}")
        name = f"{datetime.now(UTC):%Y%m%dT%H%M%S}"
        self.add({"kind": "run", "run": name, "commit": commit, "began": timestamp(), **about})
        return name

    def add(self, line: Mapping[str, Any]) -> None:
        """Add a line, and have it on the disk."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a") as file:
            file.write(json.dumps(line, default=str) + "\n")
            file.flush()
            os.fsync(file.fileno())
        self.lines.append(dict(line))

    def counts(self) -> Counts:
        """Return how many rounds each fault of each family had."""
        return Counter((line["family"], fault) for line in self.rounds for fault in line["faults"])

    def spent(self) -> Counter[str]:
        """Return the seconds of each family."""
        spent: Counter[str] = Counter()
        for line in self.rounds:
            spent[line["family"]] += round(line["seconds"])
        return spent

    def next_number(self, seed: int) -> int:
        """Return the number of the next round of this seed, from 1."""
        return 1 + max((line["number"] for line in self.rounds if line["seed"] == seed), default=0)


def read(path: Path) -> list[dict[str, Any]]:
    """Return the lines of a record. Ignores a last line that a crash cut off."""
    lines = list[dict[str, Any]]()
    for line in path.read_text().splitlines():
        try:
            lines.append(json.loads(line))
        except ValueError:
            break
    return lines


def timestamp() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def find_commit() -> str:
    """Return the commit of this checkout, with `+` if files differ from it; `unknown` without git."""

    def git(*arguments: str) -> str:
        done = subprocess.run(
            ["git", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=30, check=True
        )
        return done.stdout.strip()

    try:
        return git("rev-parse", "--short=12", "HEAD") + (
            "+" if git("status", "--porcelain", "--", ".", ":!.venv") else ""
        )
    except (OSError, subprocess.SubprocessError):
        return "unknown"


def describe_machine() -> str:
    """Return cores, memory and system in one line."""
    memory = psutil.virtual_memory().total / 2**30
    return f"{os.cpu_count()} cores, {memory:.0f} GB, {platform.system()} {platform.release().split('-')[0]}"
