"""An installation in which each writer has a small disk of its own (tmpfs), which a fault fills."""

import asyncio
import contextlib
import random
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final, cast

from deploy.embedded.servers import postgres
from tests.faults.environment import Action, Environment
from tests.faults.installations.complete import CompleteEnvironment, complete
from tests.faults.servers import start_part

# Room for a round's data, and little more to fill.
KAFKA_BYTES: Final = 160 << 20
POSTGRES_BYTES: Final = 600 << 20
CHECKPOINT_BYTES: Final = 64 << 10
_FILLER: Final = "filler"
# Its job runs every minute, and is started again by the fault.
SEALS: Final = 3


class DiskEnvironment(CompleteEnvironment):
    """The installation."""

    @classmethod
    async def build_on_disks(cls, folder: Path) -> "DiskEnvironment":
        """Return the installation in this folder. Only the website is started."""
        disks = {
            folder / "kafka" / "data": KAFKA_BYTES,
            postgres.cluster_folder(folder): POSTGRES_BYTES,
            folder / "audit": CHECKPOINT_BYTES,
        }
        for path, size in disks.items():
            await asyncio.to_thread(mount, path, size)
        try:
            return cast("DiskEnvironment", await cls.build_complete(folder))
        except BaseException:
            for path in disks:
                unmount(path)
            raise

    @property
    def kafka_disk(self) -> Path:
        return self.folder / "kafka" / "data"

    @property
    def postgres_disk(self) -> Path:
        return postgres.cluster_folder(self.folder)

    async def stop(self, *, keep: bool) -> None:
        try:
            await super().stop(keep=keep)
        finally:
            for path in (self.kafka_disk, self.postgres_disk, self.checkpoint_file.parent):
                await asyncio.to_thread(unmount, path)


def mount(path: Path, size: int) -> None:
    """Make the folder, and mount a disk of this size in it."""
    path.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(path)], check=True, timeout=20)


def unmount(path: Path) -> None:
    """Remove the disk from its folder, if there is one."""
    subprocess.run(["umount", "--lazy", str(path)], check=False, timeout=20, stderr=subprocess.DEVNULL)


@contextlib.contextmanager
def full(disk: Path) -> Iterator[None]:
    """Fill a disk to its last block while the block lasts."""
    filler = disk / _FILLER
    try:
        with filler.open("wb", buffering=0) as file:
            for size in (1 << 20, 1 << 12, 1):
                with contextlib.suppress(OSError):
                    while True:
                        file.write(bytes(size))
        yield
    finally:
        filler.unlink(missing_ok=True)


def server_disk_full(part: str) -> Action:
    """Fill the disk of Kafka or PostgreSQL. If the server ended, start it again once there is room."""

    async def action(environment: Environment, rng: random.Random) -> None:
        assert isinstance(environment, DiskEnvironment)
        disk: Path = getattr(environment, f"{part}_disk")
        server = environment.kafka if part == "kafka" else environment.postgres
        async with environment.exclusive(part):
            with full(disk):
                environment.log_event(f"the disk of {part} is full")
                await asyncio.sleep(rng.uniform(6, 14))
                environment.log_event(f"{part} {'still runs' if server.alive else 'has ended'}")
            if not server.alive:
                await start_part(server)
            environment.log_event(f"{part} has room again")

    return action


async def checkpoint_disk_full(environment: Environment, rng: random.Random) -> None:
    """Fill the disk of the checkpoint's file, while the audit log is sealed several times."""
    environment = complete(environment)
    with full(environment.checkpoint_file.parent):
        environment.log_event("the disk of the checkpoint is full")
        for _ in range(SEALS):
            with contextlib.suppress(OSError):
                await environment.start_job("audit_seal")
            await asyncio.sleep(rng.uniform(2, 5))
    environment.log_event("the disk of the checkpoint has room again")
