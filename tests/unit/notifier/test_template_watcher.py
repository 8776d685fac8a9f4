"""The watcher applies valid templates, and keeps the last ones if a new one has a mistake."""

from pathlib import Path

import pytest

from runtime.health import Health
from runtime.sites.file import parse_sites
from services.notifier import template_watcher
from services.notifier.mail.identities import Identities
from services.notifier.mail.message import Identity
from services.notifier.template_watcher import PART, TemplateWatcher

SITES = parse_sites(b"[sites.studio]\ntemplates = 'studio'")
FIRST, SECOND, BROKEN = "Subject: a\n\nfirst", "Subject: a\n\nsecond", "Subject: a\n\n{{ nmae }}"


async def test_a_changed_template_takes_effect_and_a_broken_one_only_warns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(template_watcher, "STABLE_SECONDS", 0.01)
    (tmp_path / "studio").mkdir()
    file = tmp_path / "studio" / "welcome.txt"
    file.write_text(FIRST)
    identities = Identities(Identity("a@b.example", "A", ("c@b.example",)), SITES, tmp_path)
    health = Health()
    watcher = TemplateWatcher(identities, health)
    unchanged = identities.of("studio").templates
    await watcher.check()
    assert identities.of("studio").templates is unchanged

    file.write_text(BROKEN)
    await watcher.check()
    assert identities.of("studio").templates is unchanged
    assert health.ready
    assert health.parts[PART].reason == (
        "warning: sites.studio.templates: welcome: 'nmae' is undefined. The version before still applies"
    )

    file.write_text(SECOND)
    await watcher.check()
    assert identities.sources == {"studio": {"welcome.txt": SECOND}}
    assert health.parts[PART].reason == ""

    file.unlink()
    (tmp_path / "studio").rmdir()
    await watcher.check()
    assert identities.sources == {"studio": {"welcome.txt": SECOND}}
    assert "the folder cannot be read" in health.parts[PART].reason
