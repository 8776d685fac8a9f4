"""`python -m services.ingest.workers.supervisor`: starts the gateway's workers, and replaces those that end.

It owns the listening sockets and answers no request. It imports hardly more than the standard library, so
that it needs only 16 MB.
"""

import contextlib
import fcntl
import json
import os
import selectors
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import IO, Any, Final, cast

from runtime.worker import METRICS, VARIABLE, Worker
from services.ingest.spool.totals import clear_total

# A worker that sends no heartbeat for this time hangs, and is replaced. It sends one every 5 s.
HANG_SECONDS = 30.0
# A supervisor that wakes up so late was paused, and its workers with it.
PAUSE_SECONDS: Final = 1.0
# How long a worker may take to start and send its first heartbeat.
START_SECONDS: Final = 60.0
# Before a worker is started again, by the number of times in a row that it ended early.
BACKOFF_SECONDS: Final = (0.0, 0.5, 1.0, 2.0, 5.0, 10.0)
# A worker that ran for so long did not end early.
STEADY_SECONDS: Final = 60.0
# The workers of a supervisor that was killed leave the port within a moment.
BIND_SECONDS: Final = 15.0
# How long a worker needs, after its open requests, to end: see the drain inequality in ARCHITECTURE.md.
CLOSE_SECONDS: Final = 8.0
BACKLOG: Final = 2048
# Of a worker's process.
ARGUMENTS = ("-m", "services", "ingest")
_FOLDER_PREFIX: Final = "fastcore-workers-"


@dataclass
class _Running:
    """The process of a worker. Times are monotonic seconds."""

    process: subprocess.Popen[bytes]
    connection: socket.socket
    started_at: float
    hangs_at: float


@dataclass
class _Slot:
    """The place of a worker, whose number its successor gets. `start_at` counts if none is running."""

    number: int
    start_at: float
    running: _Running | None = None
    early_ends: int = 0


class Supervisor:
    """Runs `count` workers until SIGTERM or SIGINT, which it passes on.

    The workers inherit the listeners, and the lock of the folder that they share.
    """

    def __init__(
        self, count: int, listeners: list[socket.socket], folder: Path, lock: IO[bytes], stop_seconds: float
    ) -> None:
        self._listeners = listeners
        self._folder = folder
        self._lock = lock
        self._stop_seconds = stop_seconds
        self._slots = [_Slot(number, time.monotonic()) for number in range(1, count + 1)]
        self._signal: int | None = None
        self._selector = selectors.DefaultSelector()
        self._wakeup, self._wakeup_end = socket.socketpair()

    def run(self) -> int:
        """Return the signal that ended the workers, once all of them have ended."""
        self._watch_signals()
        while self._signal is None:
            until = min(slot.running.hangs_at if slot.running else slot.start_at for slot in self._slots)
            self._wait(until)
            now = time.monotonic()  # of all checks: a pause after it is noticed in the next turn
            if now - until > PAUSE_SECONDS:
                self._allow_for_pause(now)
            for slot in self._slots:
                self._check_worker(slot, now)
        self._stop()
        return self._signal

    def _watch_signals(self) -> None:
        for end in (self._wakeup, self._wakeup_end):
            end.setblocking(False)
        signal.set_wakeup_fd(self._wakeup_end.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)  # the wakeup descriptor has a byte then
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        self._selector.register(self._wakeup, selectors.EVENT_READ)

    def _on_signal(self, number: int, _: FrameType | None) -> None:
        self._signal = number

    def _wait(self, until: float) -> None:
        """Wait for a signal, for a worker that says something, or until a time."""
        for key, _ in self._selector.select(max(0.0, until - time.monotonic())):
            connection = cast("socket.socket", key.fileobj)
            running: _Running | None = key.data
            with contextlib.suppress(OSError):
                if connection.recv(4096) and running:
                    running.hangs_at = time.monotonic() + HANG_SECONDS
                elif running:
                    self._selector.unregister(connection)  # it ends

    def _allow_for_pause(self, now: float) -> None:
        """Give the workers time for a heartbeat: a pause of this process, as by `docker pause`, is theirs."""
        for slot in self._slots:
            if slot.running:
                slot.running.hangs_at = max(slot.running.hangs_at, now + HANG_SECONDS)

    def _check_worker(self, slot: _Slot, now: float) -> None:
        if self._signal is not None:
            return
        running = slot.running
        if running is None:
            if now >= slot.start_at:
                self._start(slot)
            return
        if running.process.poll() is None and now >= running.hangs_at:
            log("error", "worker hangs, killing it", worker=slot.number, pid=running.process.pid)
            running.process.kill()
            running.process.wait()
        if running.process.poll() is not None:
            self._reap(slot, running)

    def _start(self, slot: _Slot) -> None:
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        listeners = tuple(each.fileno() for each in self._listeners)
        worker = Worker(slot.number, len(self._slots), self._folder, listeners, theirs.fileno())
        variables = {VARIABLE: worker.to_json(), "PROMETHEUS_MULTIPROC_DIR": str(worker.metrics_folder)}
        with theirs:
            try:
                process = subprocess.Popen(  # noqa: S603 - this program again
                    [sys.executable, *ARGUMENTS],
                    env=os.environ | variables,
                    # A worker that outlives this process keeps the lock.
                    pass_fds=[*listeners, theirs.fileno(), self._lock.fileno()],
                )
            except OSError as error:  # too many processes, or no memory
                ours.close()
                slot.start_at = time.monotonic() + BACKOFF_SECONDS[-1]
                log("error", "worker not started", worker=slot.number, errno=error.errno)
                return
        now = time.monotonic()
        slot.running = _Running(process, ours, started_at=now, hangs_at=now + START_SECONDS)
        self._selector.register(ours, selectors.EVENT_READ, slot.running)
        log("info", "worker started", worker=slot.number, pid=process.pid)

    def _reap(self, slot: _Slot, dead: _Running) -> None:
        """Remove what a dead worker leaves, and decide when its successor starts."""
        with contextlib.suppress(KeyError):
            self._selector.unregister(dead.connection)
        dead.connection.close()
        # As `prometheus_client.multiprocess.mark_process_dead`: its gauges no longer apply, its counters do.
        for path in (self._folder / METRICS).glob(f"gauge_live*_{slot.number}.db"):
            path.unlink(missing_ok=True)
        clear_total(self._folder, slot.number)
        now = time.monotonic()
        if now - dead.started_at > STEADY_SECONDS:
            slot.early_ends = 0
        pause = BACKOFF_SECONDS[min(slot.early_ends, len(BACKOFF_SECONDS) - 1)]
        slot.running, slot.early_ends, slot.start_at = None, slot.early_ends + 1, now + pause
        log(
            "warning",
            "worker ended, starting another",
            worker=slot.number,
            exit_code=dead.process.returncode,
            pause_seconds=pause,
        )

    def _stop(self) -> None:
        """Pass the signal on, and wait for the workers. Kills those that take too long."""
        for listener in self._listeners:  # the port is free once the workers have closed theirs
            listener.close()
        running = {slot.number: slot.running.process for slot in self._slots if slot.running}
        for process in running.values():
            process.terminate()
        deadline = time.monotonic() + self._stop_seconds
        for number, process in running.items():
            try:
                process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                log("error", "worker did not stop in time, killing it", worker=number)
                process.kill()
                process.wait()


def log(level: str, event: str, **fields: Any) -> None:
    """Write a line as `runtime.logs` does, whose packages this process does not import."""
    line = {"service": "ingest", **fields, "event": event, "action": "workers", "level": level}
    with contextlib.suppress(OSError, ValueError):  # a full disk or a closed pipe must not end the gateway
        sys.stdout.write(json.dumps(line | {"timestamp": datetime.now(UTC).isoformat()}) + "\n")
        sys.stdout.flush()


def listen(host: str, port: int) -> list[socket.socket]:
    """Return listening sockets for all addresses of a host. Raises `OSError`.

    A port that is in use is tried again for `BIND_SECONDS`: the workers of a supervisor that was killed may
    not have left it yet.
    """
    addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    deadline = time.monotonic() + BIND_SECONDS
    while True:
        with contextlib.ExitStack() as opened:
            try:
                sockets = [
                    opened.enter_context(socket.create_server(address[:2], family=family, backlog=BACKLOG))
                    for family, address in dict.fromkeys((each[0], each[4]) for each in addresses)
                ]
            except OSError:
                if time.monotonic() > deadline:
                    raise
            else:
                opened.pop_all()
                return sockets
        time.sleep(0.1)


def memory_folder() -> Path:
    """Return a folder for files that are mapped into memory. On a full disk, their writer would be killed."""
    memory = Path("/dev/shm")  # noqa: S108 - mkdtemp creates a private folder in it
    return memory if os.access(memory, os.W_OK) else Path(tempfile.gettempdir())


def shared_folder(parent: Path) -> tuple[Path, IO[bytes]]:
    """Return a new folder for what the workers share, and a lock that shows that it is in use.

    Removes the folders of supervisors that were killed, once their workers have ended.
    """
    for path in parent.glob(f"{_FOLDER_PREFIX}*"):
        with contextlib.suppress(OSError), (path / "lock").open("ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(path)
    folder = Path(tempfile.mkdtemp(prefix=_FOLDER_PREFIX, dir=parent))
    lock = (folder / "lock").open("ab")
    fcntl.flock(lock, fcntl.LOCK_EX)
    (folder / METRICS).mkdir()
    return folder, lock


def main(count: int, host: str, port: int, graceful_seconds: float) -> None:
    """Run the workers. Ends by the signal that stopped it, as a gateway with one worker does."""
    try:
        listeners = listen(host, port)
    except OSError as error:
        sys.exit(f"cannot listen on {host} port {port}: {error.strerror}")
    folder, lock = shared_folder(memory_folder())
    try:
        number = Supervisor(count, listeners, folder, lock, graceful_seconds + CLOSE_SECONDS).run()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    signal.signal(number, signal.SIG_DFL)
    signal.raise_signal(number)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), float(sys.argv[4]))
