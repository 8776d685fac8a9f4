"""Faults of the gateway's spool while Kafka is unavailable, so that leads depend on the spool."""

import asyncio
import os
import random
import shutil
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

from tests.faults.environment import Environment
from tests.faults.injections.server_faults import frozen
from tests.support.wait import eventually

# About thirty leads: one second of load.
DISK_BYTES = 32 * 1024
# A gateway looks for the files of dead workers every 10 s; the rest is for a shared machine.
PATIENCE_SECONDS = 60.0


def missing_mount() -> str | None:
    """Return what a full disk needs and this machine does not have, or None."""
    return None if os.geteuid() == 0 and shutil.which("mount") else "root, to mount a small tmpfs"


def missing_strace() -> str | None:
    """Return the tool that a failing fsync needs and that is not installed, or None."""
    return None if shutil.which("strace") else "strace (apt-get install strace)"


async def disk_full(environment: Environment, rng: random.Random) -> None:
    """The disk holds 32 KB: further leads get 503 until there is room again."""
    gateway, disk = environment.services["ingest"], environment.folder / "spool"
    async with environment.exclusive("ingest", "kafka"):
        await _wait_for(partial(_is_spool_empty, environment), "an empty spool before the disk is changed")
        await gateway.stop()
        async with _small(disk):
            gateway.start()
            try:
                await asyncio.sleep(3)
                with environment.allow_503():
                    with frozen(environment):
                        await asyncio.sleep(rng.uniform(5, 8))
                        free = os.statvfs(disk)
                        environment.log_event(
                            f"the spool's disk has {free.f_bavail * free.f_bsize} bytes left"
                        )
                    await _wait_for(
                        partial(_is_spool_empty, environment), "an empty spool after Kafka is back"
                    )
            finally:
                gateway.kill()
        gateway.start()


@asynccontextmanager
async def _small(folder: Path) -> AsyncIterator[None]:
    folder.mkdir(exist_ok=True)  # noqa: ASYNC240 - once
    await _run("mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(folder))
    try:
        yield
    finally:
        await _run("umount", "--lazy", str(folder))


async def fsync_fails(environment: Environment, rng: random.Random) -> None:
    """Every fsync fails with EIO for some seconds: such a lead gets no 201, and the segment is closed."""
    trace = environment.folder / f"fsync-{time.monotonic_ns()}.trace"
    async with environment.exclusive("ingest", "kafka"):
        with frozen(environment):
            await asyncio.sleep(rng.uniform(3, 4))  # so that a segment with good leads is open
            with environment.allow_503():
                gateway = environment.services["ingest"]
                assert gateway.process
                traced = [gateway.process.pid, *(worker.pid for worker in gateway.workers())]
                tracer = await asyncio.create_subprocess_exec(
                    *("strace", "-f", "-qq", "-o", str(trace), "-e", "trace=fsync,fdatasync"),
                    *("-e", "inject=fsync,fdatasync:error=EIO"),
                    *(argument for pid in traced for argument in ("-p", str(pid))),
                )
                await asyncio.sleep(rng.uniform(3, 5))
                assert tracer.returncode is None, "strace did not attach"
                tracer.terminate()
                await tracer.wait()
            environment.log_event(f"{trace.read_text().count('INJECTED')} fsyncs answered EIO")
            await asyncio.sleep(rng.uniform(1, 3))


async def torn_record(environment: Environment, rng: random.Random) -> None:
    """The gateway dies while it writes a record: the partial record must hide no other one."""
    async with environment.exclusive("ingest", "kafka"):
        with frozen(environment):
            await asyncio.sleep(rng.uniform(4, 6))
            environment.services["ingest"].kill()
            for path in _segments(environment):
                last = [line for line in path.read_bytes().split(b"\n") if line][-1]
                with path.open("ab") as file:
                    file.write(b"\n" + last[: rng.randrange(1, len(last))])
                environment.log_event(f"ingest killed, half a record behind {path.name}")
            environment.services["ingest"].start()
            await asyncio.sleep(rng.uniform(1, 3))


async def flipped_bit(environment: Environment, rng: random.Random) -> None:
    """A bit of an accepted lead flips: all others are published, and the file can be repaired by hand."""
    async with environment.exclusive("ingest", "kafka"):
        with frozen(environment):
            await asyncio.sleep(rng.uniform(4, 6))
            environment.services["ingest"].kill()
            flipped = [(path, *flip_bit(path, rng)) for path in _segments(environment)]
            environment.log_event(f"ingest killed, {len(flipped)} bits flipped in its spool")
            environment.services["ingest"].start()
            await asyncio.sleep(rng.uniform(1, 3))
        for path, place, bit in flipped:
            damaged = path.with_suffix(".damaged")
            await _wait_for(partial(asyncio.to_thread, damaged.exists), f"{damaged.name}, kept for a person")
            toggle_bit(damaged, place, bit)
            damaged.rename(path)
            await _wait_for(
                partial(asyncio.to_thread, _is_gone, path), f"{path.name} published once repaired"
            )
        environment.log_event("repaired, adopted and published")


def _segments(environment: Environment) -> list[Path]:
    """Return the segments that hold leads."""
    return [path for path in sorted((environment.folder / "spool").glob("*/*.spool")) if path.stat().st_size]


def flip_bit(path: Path, rng: random.Random) -> tuple[int, int]:
    """Flip one bit of a file; return its byte and mask, so that the caller can undo it."""
    data = path.read_bytes()
    while True:
        place, bit = rng.randrange(len(data)), 1 << rng.randrange(8)
        if data[place] != 10 and data[place] ^ bit != 10:  # keep the line breaks
            toggle_bit(path, place, bit)
            return place, bit


def toggle_bit(path: Path, place: int, bit: int) -> None:
    """Toggle the bits of one byte."""
    data = bytearray(path.read_bytes())
    data[place] ^= bit
    path.write_bytes(data)


def _is_gone(path: Path) -> bool:
    return not path.exists()


async def _is_spool_empty(environment: Environment) -> bool:
    return await environment.spooled() == 0


async def _wait_for(probe: Callable[[], Awaitable[bool]], what: str) -> None:
    await eventually(probe, seconds=PATIENCE_SECONDS, every=0.2, what=what)


async def _run(*command: str) -> None:
    process = await asyncio.create_subprocess_exec(*command)
    assert await process.wait() == 0, f"{command[0]} ended with {process.returncode}"
