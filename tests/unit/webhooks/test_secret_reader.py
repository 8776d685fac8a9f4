"""Files of secrets that hang stop neither the event loop nor the resolution of names, and use one thread."""

import asyncio
import base64
import os
import threading
from pathlib import Path

import pytest

from runtime.health import Health
from runtime.sites import watched_files
from runtime.sites.file import SitesFileError, parse_sites
from runtime.sites.model import Sites
from services.webhooks.destinations import Destinations
from services.webhooks.secret_watcher import PART, SecretWatcher
from tests.support.wait import eventually

KEY = "whsec_" + base64.b64encode(b"k" * 32).decode()


@pytest.fixture
def pipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A pipe without a writer. Opening it to read hangs, as a file of an NFS server that does not answer."""
    monkeypatch.setattr(watched_files, "READ_SECONDS", 0.2)
    monkeypatch.setattr(watched_files, "STABLE_SECONDS", 0.01)
    os.mkfifo(tmp_path / "pipe")
    return tmp_path / "pipe"


def _sites(name: str, secret: Path) -> Sites:
    table = f'[[destinations]]\nname = "{name}"\nkind = "webhook"\nurl = "https://a.example/"\n'
    return parse_sites(f'[sites.shop]\n{table}secret = "file:{secret}"\n'.encode())


async def _threads() -> int:
    return sum(each.name == "secrets" for each in threading.enumerate())


def _write(pipe: Path) -> None:
    """Let a reader of the pipe go on."""
    with pipe.open("w") as file:
        file.write(KEY)


async def test_files_that_hang_are_reported_and_the_value_before_applies(pipe: Path, tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text(KEY)
    destinations, health = Destinations(_sites("crm", file), {}), Health()
    before = set(threading.enumerate())
    file.unlink()
    file.symlink_to(pipe)
    watcher = SecretWatcher(destinations, health)
    for _ in range(3):
        await watcher.check()
        with pytest.raises(SitesFileError, match=r"do not answer within 0\.2 s"):
            await destinations.apply(_sites("new", pipe))
    assert (list(destinations.by_name), destinations.by_name["crm"].secrets) == (["crm"], (KEY,))
    assert "do not answer" in health.parts[PART].reason
    assert await _threads() == 1
    # Threads of earlier tests may end meanwhile, so only new ones count.
    new = [each.name for each in threading.enumerate() if each not in before]
    assert len(new) == 1, f"none of the threads that resolve names: {new}"
    await asyncio.to_thread(_write, pipe)
    await eventually(_threads, until=lambda count: count == 0)
    file.unlink()
    file.write_text(KEY)
    await watcher.check()
    assert health.parts[PART].reason == ""
    await destinations.apply(_sites("new", file))
    assert list(destinations.by_name) == ["new"]


async def test_the_loop_goes_on_while_files_hang(pipe: Path) -> None:
    destinations = Destinations(Sites(), {})
    reading = asyncio.create_task(destinations.apply(_sites("crm", pipe)))
    await eventually(_threads, until=lambda count: count == 1)
    await asyncio.to_thread(_write, pipe)
    await reading
    assert destinations.by_name["crm"].secrets == (KEY,)
