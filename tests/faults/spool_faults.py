"""What happens to the disk of the gateway's spool while Kafka is away, so that it is all there is."""

import asyncio
import os
import random
import shutil
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

from tests.faults.environment import World
from tests.faults.server_faults import frozen
from tests.support.wait import eventually

# Some thirty leads: a second of the load.
DISK_BYTES = 32 * 1024
# Ours looks for dead workers' files every 10 s; the rest is for a machine that is shared.
PATIENCE_SECONDS = 60.0


def no_mounts() -> str | None:
    """Say what a full disk needs and this machine has not."""
    return None if os.geteuid() == 0 and shutil.which("mount") else "root, to mount a small tmpfs"


def no_strace() -> str | None:
    """Say what a failing fsync needs and this machine has not."""
    return None if shutil.which("strace") else "strace (apt-get install strace)"


async def disk_full(world: World, rng: random.Random) -> None:
    """A disk of 32 KB: what does not fit is refused with a 503, and taken again once there is room."""
    gateway, disk = world.services["ingest"], world.folder / "spool"
    async with world.alone("ingest", "kafka"):
        await _until(partial(_emptied, world), "an empty spool before the disk is changed")
        await gateway.stop()
        async with _small(disk):
            gateway.start()
            try:
                await asyncio.sleep(3)
                with world.may_refuse():
                    with frozen(world):
                        await asyncio.sleep(rng.uniform(5, 8))
                        free = os.statvfs(disk)
                        world.note(f"the spool's disk has {free.f_bavail * free.f_bsize} bytes left")
                    await _until(partial(_emptied, world), "an empty spool after Kafka is back")
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


async def fsync_fails(world: World, rng: random.Random) -> None:
    """EIO from every fsync for some seconds: no 201 comes of it, and its file is not trusted again."""
    trace = world.folder / f"fsync-{time.monotonic_ns()}.trace"
    async with world.alone("ingest", "kafka"):
        with frozen(world):
            await asyncio.sleep(rng.uniform(3, 4))  # so that a segment with good leads is open
            with world.may_refuse():
                process = world.services["ingest"].process
                assert process
                tracer = await asyncio.create_subprocess_exec(
                    *("strace", "-f", "-qq", "-o", str(trace), "-e", "trace=fsync,fdatasync"),
                    *("-e", "inject=fsync,fdatasync:error=EIO", "-p", str(process.pid)),
                )
                await asyncio.sleep(rng.uniform(3, 5))
                assert tracer.returncode is None, "strace did not attach"
                tracer.terminate()
                await tracer.wait()
            world.note(f"{trace.read_text().count('INJECTED')} fsyncs answered EIO")
            await asyncio.sleep(rng.uniform(1, 3))


async def torn_record(world: World, rng: random.Random) -> None:
    """The gateway died while it wrote a line: half of it is there, and it hides no other."""
    async with world.alone("ingest", "kafka"):
        with frozen(world):
            await asyncio.sleep(rng.uniform(4, 6))
            world.services["ingest"].kill()
            for path in _segments(world):
                last = [line for line in path.read_bytes().split(b"\n") if line][-1]
                with path.open("ab") as file:
                    file.write(b"\n" + last[: rng.randrange(1, len(last))])
                world.note(f"ingest killed, half a record behind {path.name}")
            world.services["ingest"].start()
            await asyncio.sleep(rng.uniform(1, 3))


async def flipped_bit(world: World, rng: random.Random) -> None:
    """One bit of an accepted lead changes: all others are published, and a person can mend the file."""
    async with world.alone("ingest", "kafka"):
        with frozen(world):
            await asyncio.sleep(rng.uniform(4, 6))
            world.services["ingest"].kill()
            flipped = [(path, *flip(path, rng)) for path in _segments(world)]
            world.note(f"ingest killed, {len(flipped)} bits flipped in its spool")
            world.services["ingest"].start()
            await asyncio.sleep(rng.uniform(1, 3))
        for path, place, bit in flipped:
            damaged = path.with_suffix(".damaged")
            await _until(partial(asyncio.to_thread, damaged.exists), f"{damaged.name}, kept for a person")
            turn(damaged, place, bit)
            damaged.rename(path)
            await _until(partial(asyncio.to_thread, _is_gone, path), f"{path.name} published once repaired")
        world.note("repaired, adopted and published")


def _segments(world: World) -> list[Path]:
    """Return the files that hold leads, as the disk names them."""
    return [path for path in sorted((world.folder / "spool").glob("*/*.spool")) if path.stat().st_size]


def flip(path: Path, rng: random.Random) -> tuple[int, int]:
    """Change one bit of a file; return where, for whoever turns it back."""
    data = path.read_bytes()
    while True:
        place, bit = rng.randrange(len(data)), 1 << rng.randrange(8)
        if data[place] != 10 and data[place] ^ bit != 10:  # a line stays one line
            turn(path, place, bit)
            return place, bit


def turn(path: Path, place: int, bit: int) -> None:
    """Change this bit."""
    data = bytearray(path.read_bytes())
    data[place] ^= bit
    path.write_bytes(data)


def _is_gone(path: Path) -> bool:
    return not path.exists()


async def _emptied(world: World) -> bool:
    return await world.spooled() == 0


async def _until(probe: Callable[[], Awaitable[bool]], what: str) -> None:
    await eventually(probe, seconds=PATIENCE_SECONDS, every=0.2, what=what)


async def _run(*command: str) -> None:
    process = await asyncio.create_subprocess_exec(*command)
    assert await process.wait() == 0, f"{command[0]} ended with {process.returncode}"
