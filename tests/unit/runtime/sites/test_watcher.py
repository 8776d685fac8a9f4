"""The watcher applies valid versions, and keeps the last one when a version is invalid."""

import asyncio
import os
import threading
from pathlib import Path

import pytest

from runtime import metrics
from runtime.health import Health
from runtime.sites import watched_files
from runtime.sites.file import SitesFileError, read_sites
from runtime.sites.model import Sites
from runtime.sites.watcher import PART, SitesWatcher
from tests.support.wait import eventually

FIRST = "[sites.x]\nlocale = 'en'"
SECOND = "[sites.x]\nlocale = 'de'"


class Watched:
    """A file with a watcher that collects what it applies."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "sites.toml"
        self.file.write_text(FIRST)
        self.applied: list[str | None] = []
        self.error: SitesFileError | None = None
        self.health = Health()
        self.watcher = SitesWatcher(self.file, read_sites(self.file), self.health, self.apply)

    def apply(self, sites: Sites) -> None:
        if self.error:
            raise self.error
        self.applied.append(sites.get("x").locale)

    @property
    def reason(self) -> str:
        assert self.health.ready, "an invalid version is a warning, not an outage"
        return self.health.parts[PART].reason


@pytest.fixture
def watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Watched:
    monkeypatch.setattr(watched_files, "STABLE_SECONDS", 0.01)
    return Watched(tmp_path)


def digests() -> set[str]:
    return {sample.labels["digest"] for family in metrics.SITES_FILE.collect() for sample in family.samples}


async def test_an_unchanged_file_is_not_applied_again(watched: Watched) -> None:
    await watched.watcher.check()
    assert (watched.applied, watched.reason) == ([], "")


async def test_a_new_version_is_applied_once_with_its_digest(watched: Watched) -> None:
    (before,) = digests()
    watched.file.write_text(SECOND)
    await watched.watcher.check()
    await watched.watcher.check()
    assert watched.applied == ["de"]
    assert digests() == {read_sites(watched.file).digest[:12]}
    assert digests() != {before}


async def test_a_version_whose_secret_comes_later_is_applied_then(watched: Watched) -> None:
    watched.error = SitesFileError("destinations.crm.secret: the file /run/secrets/crm cannot be read")
    watched.file.write_text(SECOND)
    await watched.watcher.check()
    assert watched.applied == []
    watched.error = None
    await watched.watcher.check()
    assert (watched.applied, watched.reason) == (["de"], "")


async def test_a_symbolic_link_to_another_file_is_a_new_version(watched: Watched) -> None:
    target = watched.file.with_name("other.toml")
    target.write_text(SECOND)
    link = watched.file.with_name("link")
    link.symlink_to(target)
    link.replace(watched.file)
    await watched.watcher.check()
    assert watched.applied == ["de"]


@pytest.mark.parametrize("content", [b"[sites.x]\nlocale = 1", b"\xff", b"", None])
async def test_an_invalid_version_only_warns(watched: Watched, content: bytes | None) -> None:
    (before,) = digests()
    if content is None:
        watched.file.unlink()
    else:
        watched.file.write_bytes(content)
    await watched.watcher.check()
    assert watched.applied == []
    assert watched.reason.startswith(f"warning: {watched.file}: ")
    assert metrics.SITES_FILE_INVALID._value.get() == 1
    assert digests() == {before}
    watched.file.write_text(FIRST)
    await watched.watcher.check()
    assert (watched.applied, watched.reason) == ([], "")
    assert metrics.SITES_FILE_INVALID._value.get() == 0


async def test_a_version_that_the_service_cannot_use_only_warns(watched: Watched) -> None:
    watched.error = SitesFileError("sites.x.tokens: the variable X is not set")
    watched.file.write_text(SECOND)
    await watched.watcher.check()
    assert "sites.x.tokens: the variable X is not set" in watched.reason


async def test_a_file_that_is_still_being_written_is_not_applied(watched: Watched) -> None:
    watched.file.write_text(SECOND[:9])  # valid TOML: the site without its locale
    checking = asyncio.create_task(watched.watcher.check())
    await asyncio.sleep(0.003)
    watched.file.write_text(SECOND)
    await checking
    assert watched.applied == []
    await watched.watcher.check()
    assert watched.applied == ["de"]


async def _threads() -> int:
    return sum(each.name == "sites file" for each in threading.enumerate())


async def test_regression_a_file_that_hangs_warns_and_is_read_again(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watched_files, "READ_SECONDS", 0.1)
    watched.file.unlink()
    os.mkfifo(watched.file)  # opening it hangs, as a file of an NFS server that does not answer
    for _ in range(2):
        await asyncio.wait_for(watched.watcher.check(), 2)
        assert watched.reason == (
            f"warning: {watched.file}: does not answer within 0.1 s. The version before still applies"
        )
    assert await _threads() == 1
    await asyncio.to_thread(watched.file.write_text, SECOND)
    await eventually(_threads, until=lambda count: count == 0)
    watched.file.unlink()
    watched.file.write_text(SECOND)
    await watched.watcher.check()
    assert (watched.applied, watched.reason) == (["de"], "")
