"""A process that runs rounds of one family, with a bound for each."""

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Self

import psutil

from tests.faults.family import Family, Result
from tests.faults.violations import Violation
from tests.support import patience

ROOT = Path(__file__).parents[3]
# Each process that a session starts has its folder in this variable, so that none remains.
OWNER_VARIABLE = "FASTCORE_TEST_FAULTS_FOLDER"
CLOSE_SECONDS = 90.0
_STACKS_SECONDS = 2.0


class Session:
    """Rounds that share one process, and where the family allows it one installation.

    Use it as a context manager: at the end, no process that it started runs any more.
    """

    def __init__(self, family: Family, folder: Path, options: Mapping[str, str]) -> None:
        self.family = family
        self.folder = folder
        self.log = folder / "session.log"
        self._options = dict(options)
        self._process: subprocess.Popen[bytes] | None = None
        self._unread = b""
        self.fresh = True  # the next round is its first

    def __enter__(self) -> Self:
        installation = self.folder / "installation"
        installation.mkdir(mode=0o755, parents=True)
        arguments = (self.family.name, str(installation), json.dumps(self._options))
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.faults.runner.worker", *arguments],
                cwd=ROOT,
                env={**os.environ, OWNER_VARIABLE: str(self.folder)},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,  # Ctrl-C reaches the runner, which ends the session
            )
        return self

    def __exit__(self, *_: object) -> None:
        self.end_processes()
        assert self._process
        for pipe in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(BrokenPipeError):
                if pipe:
                    pipe.close()

    @property
    def usable(self) -> bool:
        """False after a round that hung or failed: the next one needs another session."""
        return self._process is not None and self._process.poll() is None

    def run(self, seed: int, number: int, faults: tuple[str, ...], folder: Path) -> Result:
        """Run a round in this folder. A round that takes too long, or ends its process, is a violation."""
        assert self._process
        assert self._process.stdin
        self.fresh = False
        bound, began = patience.patient(self.family.bound_seconds), time.monotonic()
        task = {"seed": seed, "number": number, "faults": faults, "folder": str(folder)}
        with contextlib.suppress(BrokenPipeError):  # it has ended: the next line sees it
            self._process.stdin.write(json.dumps(task).encode() + b"\n")
            self._process.stdin.flush()
        line = self._read_line(began + bound)
        if line is None:
            self._print_stacks()
            self.end_processes()
            return self._failure("hung", f"did not end within {bound:g} s, and was ended")
        if not line:
            self._process.wait(10)
            return self._failure("suite", f"its process ended with {self._process.returncode}")
        read = json.loads(line)
        return Result(**{**read, "violations": [Violation(**each) for each in read["violations"]]})

    def close(self) -> None:
        """End the process, and wait until it has stopped its servers."""
        assert self._process
        assert self._process.stdin
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(patience.patient(CLOSE_SECONDS))

    def end_processes(self) -> int:
        """Kill the process and all that it has started; return how many there were."""
        count = 0
        while found := self._find_processes():
            count = max(count, len(found))
            for process in found:
                with contextlib.suppress(psutil.Error):
                    process.kill()
            if self._process:
                self._process.poll()
            psutil.wait_procs(found, timeout=0.2)  # those of a killed parent remain as zombies for long
        return count

    def _find_processes(self) -> list[psutil.Process]:
        """Return what runs of the session; its own process last, which adopts those whose parent ends."""
        found = dict[int, psutil.Process]()
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error, OSError):
                if process.pid != os.getpid() and process.environ().get(OWNER_VARIABLE) == str(self.folder):
                    for each in [*process.children(recursive=True), process]:
                        found.setdefault(each.pid, each)
        own = self._process.pid if self._process else 0
        alive = [each for each in found.values() if _is_running(each)]
        return [each for each in alive if each.pid != own] or alive

    def _read_line(self, deadline: float) -> bytes | None:
        """Return the next line, nothing at the end of the output, or None if the deadline passes."""
        assert self._process
        assert self._process.stdout
        while b"\n" not in self._unread:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self._process.stdout], [], [], left)[0]:
                return None
            if not (read := os.read(self._process.stdout.fileno(), 1 << 20)):
                return b""
            self._unread += read
        line, _, self._unread = self._unread.partition(b"\n")
        return line

    def _print_stacks(self) -> None:
        """Have the process write to its log what it waits for."""
        assert self._process
        with contextlib.suppress(ProcessLookupError):
            for number in (signal.SIGUSR1, signal.SIGUSR2):
                self._process.send_signal(number)
        time.sleep(_STACKS_SECONDS)

    def _failure(self, kind: str, detail: str) -> Result:
        log = self.log.read_text(errors="replace").splitlines()
        last = next((line for line in reversed(log) if line.strip()), "")
        return Result(violations=[Violation(kind, f"the round {detail}; see {self.log.name}: {last[:300]}")])


def _is_running(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False
