"""The watcher applies valid templates, and keeps the last ones if a new one has a mistake."""

import asyncio
import os
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from runtime.health import Health
from runtime.sites import watched_files
from runtime.sites.file import SitesFileError, parse_sites
from services.notifier.mail import identities as identities_module
from services.notifier.mail.identities import Identities
from services.notifier.mail.message import Identity
from services.notifier.mail.site_templates import read_folders
from services.notifier.template_watcher import PART, TemplateWatcher
from tests.support.wait import eventually

SITES = parse_sites(b"[sites.studio]\ntemplates = 'studio'")
TWO_SITES = parse_sites(b"[sites.studio]\ntemplates = 'studio'\n[sites.other]\ntemplates = 'other'")
DEFAULT = Identity("a@b.example", "A", ("c@b.example",))
FIRST, SECOND, BROKEN = "Subject: a\n\nfirst", "Subject: a\n\nsecond", "Subject: a\n\n{{ nmae }}"
HALF = "Subject: a\n\nsec"


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(watched_files, "STABLE_SECONDS", 0.01)
    (tmp_path / "studio").mkdir()
    file = tmp_path / "studio" / "welcome.txt"
    file.write_text(FIRST)
    return file


def write(file: Path, text: str) -> None:
    """Write the template."""
    file.write_text(text)


def text_of(identities: Identities) -> str:
    """The template that the site's mails are made with."""
    return identities.of("studio").templates._own["welcome.txt"]


def write_before_each_reading(file: Path, monkeypatch: pytest.MonkeyPatch, *contents: str) -> Iterator[str]:
    """Before each reading of the folders, write the next of `contents`. Return an iterator over the rest."""
    left = iter(contents)

    def write_then_read(*arguments: Any) -> Any:
        file.write_text(next(left))
        return read_folders(*arguments)

    monkeypatch.setattr(identities_module, "read_folders", write_then_read)
    return left


async def test_a_changed_template_takes_effect_and_a_broken_one_only_warns(file: Path) -> None:
    identities, health = Identities(DEFAULT, SITES, file.parent.parent), Health()
    watcher = TemplateWatcher(identities, health)
    assert health.parts[PART].reason == ""
    unchanged = identities.of("studio").templates
    await watcher.check()
    assert identities.of("studio").templates is unchanged

    write(file, BROKEN)
    await watcher.check()
    assert identities.of("studio").templates is unchanged
    assert health.ready
    assert health.parts[PART].reason == (
        "warning: sites.studio.templates: welcome: 'nmae' is undefined. The version before still applies"
    )

    write(file, SECOND)
    await watcher.check()
    assert text_of(identities) == SECOND
    assert health.parts[PART].reason == ""

    shutil.rmtree(file.parent)
    await watcher.check()
    assert text_of(identities) == SECOND
    assert "the folder cannot be read" in health.parts[PART].reason


async def test_regression_a_mistake_at_the_start_only_warns(file: Path) -> None:
    write(file, BROKEN)
    identities, health = Identities(DEFAULT, SITES, file.parent.parent), Health()
    watcher = TemplateWatcher(identities, health)
    warning = "warning: sites.studio.templates: welcome: 'nmae' is undefined. FASTCore's own templates apply"
    assert (health.ready, health.parts[PART].reason) == (True, warning)
    await watcher.check()
    assert health.parts[PART].reason == warning
    write(file, FIRST)
    await watcher.check()
    assert (text_of(identities), health.parts[PART].reason) == (FIRST, "")


async def test_a_template_that_is_still_being_written_waits(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    identities = Identities(DEFAULT, SITES, file.parent.parent)
    watcher = TemplateWatcher(identities, Health())
    write_before_each_reading(file, monkeypatch, HALF, SECOND, HALF, SECOND)
    await watcher.check()
    assert text_of(identities) == FIRST
    with pytest.raises(SitesFileError, match="just being written"):
        await identities.apply(parse_sites(b"[sites.studio]\ntemplates = 'studio'\nname = 'New'"))
    assert (text_of(identities), identities.of("studio").sender_name) == (FIRST, "A")


async def test_regression_the_version_that_was_found_stable_is_applied(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    identities = Identities(DEFAULT, SITES, file.parent.parent)
    left = write_before_each_reading(file, monkeypatch, SECOND, SECOND, HALF)
    await TemplateWatcher(identities, Health()).check()
    assert text_of(identities) == SECOND
    assert next(left) == HALF


async def test_templates_that_did_not_change_are_not_compiled_again(file: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "welcome.txt").write_text(FIRST)
    identities = Identities(DEFAULT, TWO_SITES, tmp_path)
    other, studio = (identities.of(name).templates for name in ("other", "studio"))
    write(file, SECOND)
    await TemplateWatcher(identities, Health()).check()
    assert identities.of("other").templates is other
    assert identities.of("studio").templates is not studio
    await identities.apply(TWO_SITES)
    assert identities.of("other").templates is other


def replace_by_pipe(file: Path) -> None:
    """Replace the file by a pipe without a writer: whoever opens it hangs, as on a lost NFS server."""
    file.unlink()
    os.mkfifo(file)


async def _threads() -> int:
    return sum(each.name == "templates" for each in threading.enumerate())


async def test_regression_a_folder_that_hangs_does_not_stop_the_loop(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watched_files, "READ_SECONDS", 0.2)
    identities, health = Identities(DEFAULT, SITES, file.parent.parent), Health()
    watcher = TemplateWatcher(identities, health)
    replace_by_pipe(file)
    for _ in range(2):
        await asyncio.wait_for(watcher.check(), 2)
        with pytest.raises(SitesFileError, match=r"do not answer within 0\.2 s"):
            await asyncio.wait_for(identities.apply(SITES), 2)
    assert health.parts[PART].reason == (
        "warning: the folders of templates do not answer within 0.2 s. The version before still applies"
    )
    assert (text_of(identities), await _threads()) == (FIRST, 1)
    await identities.apply(parse_sites(b"[sites.new]"))  # has no templates
    await asyncio.to_thread(file.write_text, SECOND)
    await eventually(_threads, until=lambda count: count == 0)
