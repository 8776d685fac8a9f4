"""A secret's file that changes takes effect without a restart, and a broken one changes nothing."""

import base64
from pathlib import Path

import pytest

from runtime.health import Health
from runtime.sites import watched_files
from runtime.sites.file import parse_sites
from runtime.sites.secrets import resolve_destinations
from services.webhooks import secret_reader
from services.webhooks.destinations import Destinations
from services.webhooks.secret_watcher import PART, SecretWatcher


def _key(letter: str) -> str:
    return "whsec_" + base64.b64encode(letter.encode() * 32).decode()


def _write(file: Path, content: str | None) -> None:
    """Write the file, or remove it if there is no content."""
    if content is None:
        file.unlink()
    else:
        file.write_text(content)


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(watched_files, "STABLE_SECONDS", 0.01)
    file = tmp_path / "secret"
    file.write_text(_key("a"))
    return file


def _destinations(file: Path, more: str = "") -> Destinations:
    tables = f"""
        [sites.shop]
        [[destinations]]
        name = "crm"
        kind = "webhook"
        url = "https://a.example/"
        secret = "file:{file}"
        {more}"""
    return Destinations(parse_sites(tables.encode()), {})


async def test_a_changed_file_takes_effect_and_wakes_the_sender(file: Path) -> None:
    destinations = _destinations(file)
    watcher = SecretWatcher(destinations, Health())
    await watcher.check()
    destinations.wake.clear()
    await watcher.check()
    assert not destinations.wake.is_set(), "nothing changed"
    _write(file, _key("b"))
    await watcher.check()
    assert destinations.by_name["crm"].secrets == (_key("b"),)
    assert destinations.wake.is_set()


@pytest.mark.parametrize("content", [None, "", "no key"])
async def test_an_unusable_file_keeps_the_value_before_and_warns(file: Path, content: str | None) -> None:
    destinations, health = _destinations(file), Health()
    watcher = SecretWatcher(destinations, health)
    _write(file, content)
    await watcher.check()
    assert destinations.by_name["crm"].secrets == (_key("a"),)
    part = health.parts[PART]
    assert part.ok
    assert part.reason.startswith("warning: destinations.crm.secret: the ")
    _write(file, _key("c"))
    await watcher.check()
    assert destinations.by_name["crm"].secrets == (_key("c"),)
    assert health.parts[PART].reason == ""


async def test_a_value_that_is_still_being_written_waits(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    destinations = _destinations(file)
    watcher = SecretWatcher(destinations, Health())
    keys = iter((_key("b"), _key("c"), _key("c"), _key("c")))

    def write_then_resolve(*arguments: object) -> object:
        _write(file, next(keys))
        return resolve_destinations(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(secret_reader, "resolve_destinations", write_then_resolve)
    await watcher.check()
    assert destinations.by_name["crm"].secrets == (_key("a"),)
    await watcher.check()
    assert destinations.by_name["crm"].secrets == (_key("c"),)


async def test_a_new_sites_file_meanwhile_is_not_replaced(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    destinations = _destinations(file)
    new = parse_sites(b"[sites.shop]\n")

    def apply_meanwhile(*arguments: object) -> object:
        found = resolve_destinations(*arguments)  # type: ignore[arg-type]
        destinations.use(new, {})
        return found

    _write(file, _key("b"))
    monkeypatch.setattr(secret_reader, "resolve_destinations", apply_meanwhile)
    await SecretWatcher(destinations, Health()).check()
    assert destinations.sites is new
    assert destinations.by_name == {}
