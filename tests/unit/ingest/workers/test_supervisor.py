"""The supervisor of the workers, with small programs as workers."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from deploy.embedded.servers.standalone import free_ports
from services.ingest.workers.supervisor import shared_folder
from tests.support.services.processes import ROOT
from tests.support.wait import eventually

# A worker finds the number of its descriptor in the environment.
SPEAK = "import json, os, time; os.write(json.loads(os.environ['_FASTCORE_WORKER'])[4], b'.')"
RUN = """
import sys
from services.ingest.workers import supervisor
supervisor.ARGUMENTS = ("-c", sys.argv[2])
supervisor.HANG_SECONDS = float(sys.argv[3])
supervisor.CLOSE_SECONDS = 0.5
supervisor.main(2, "127.0.0.1", int(sys.argv[1]), 0.5)
"""


class Supervisor:
    """A supervisor process, and what it has logged."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self.process = process
        self._log = log

    def logged(self, event: str) -> list[dict[str, Any]]:
        lines = [json.loads(line) for line in self._log.read_text().splitlines()]
        return [line for line in lines if line["event"] == event]

    async def wait_for(self, event: str, count: int) -> list[dict[str, Any]]:
        async def read() -> list[dict[str, Any]]:
            return self.logged(event)

        return await eventually(read, until=lambda found: len(found) >= count, what=event)


@contextmanager
def supervisor(folder: Path, worker: str, hang_seconds: float = 30) -> Iterator[Supervisor]:
    log = folder / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-c", RUN, str(free_ports(1)[0]), worker, str(hang_seconds)],
            cwd=ROOT,
            stdout=output,
            stderr=output,
        )
    try:
        yield Supervisor(process, log)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(20)


async def test_supervisor_waits_longer_before_each_start_of_a_worker(tmp_path: Path) -> None:
    with supervisor(tmp_path, "raise SystemExit(7)") as running:
        ended = await running.wait_for("worker ended, starting another", 6)
        first = [line for line in ended if line["worker"] == 1]
        assert [line["pause_seconds"] for line in first[:3]] == [0.0, 0.5, 1.0]
        assert {line["exit_code"] for line in ended} == {7}


async def test_supervisor_replaces_a_worker_that_hangs(tmp_path: Path) -> None:
    with supervisor(tmp_path, f"{SPEAK}; time.sleep(60)", hang_seconds=0.3) as running:
        hung = await running.wait_for("worker hangs, killing it", 2)
        assert {line["worker"] for line in hung} == {1, 2}
        (one, other, *_) = await running.wait_for("worker ended, starting another", 2)
        assert one["exit_code"] == other["exit_code"] == -signal.SIGKILL
        assert len(await running.wait_for("worker started", 4)) >= 4


async def test_supervisor_kills_workers_that_do_not_stop_in_time(tmp_path: Path) -> None:
    stubborn = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print('{"event": "stubborn"}', flush=True)
time.sleep(60)
"""
    with supervisor(tmp_path, stubborn) as running:
        await running.wait_for("stubborn", 2)
        running.process.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(running.process.wait, 20) == -signal.SIGTERM
        assert len(running.logged("worker did not stop in time, killing it")) == 2


async def test_pause_of_the_whole_gateway_kills_no_worker(tmp_path: Path) -> None:
    busy = f"import time\nwhile True: {SPEAK}; time.sleep(0.05)"
    with supervisor(tmp_path, busy, hang_seconds=2) as running:
        started = await running.wait_for("worker started", 2)
        pids = [running.process.pid, *(line["pid"] for line in started)]
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        await asyncio.sleep(4)
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
        await asyncio.sleep(0.5)
        assert running.logged("worker hangs, killing it") == []


async def test_successor_finds_its_spool_total_cleared(tmp_path: Path) -> None:
    program = """
import json, os, sys
number, _, folder, *_ = json.loads(os.environ["_FASTCORE_WORKER"])
with open(folder + "/spool", "a+b") as file:
    file.truncate(32)
with open(folder + "/spool", "r+b") as file:
    file.seek(16 * (number - 1))
    total = file.read(16)
    file.seek(16 * (number - 1))
    file.write(b"1" * 16)
# In one write: with PYTHONUNBUFFERED, `print` writes the end of the line apart, after another worker's line.
os.write(1, json.dumps({"event": "total", "total": total.hex()}).encode() + b"\\n")
sys.exit(7)
"""
    with supervisor(tmp_path, program) as running:
        totals = await running.wait_for("total", 6)
    assert {line["total"] for line in totals} == {"00" * 16}


def test_folder_of_a_dead_supervisor_is_removed(tmp_path: Path) -> None:
    folder, lock = shared_folder(tmp_path)
    other, other_lock = shared_folder(tmp_path)
    assert folder.exists()  # its lock shows that it is in use
    lock.close()
    third, third_lock = shared_folder(tmp_path)
    assert sorted(tmp_path.iterdir()) == sorted([other, third])
    other_lock.close()
    third_lock.close()
