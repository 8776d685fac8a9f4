"""Two sites in two languages, one with its own templates: the mails that a mail server gets."""

from pathlib import Path
from typing import Any

import pytest

from runtime.settings import Kafka, SitesFile
from services.notifier.settings import Settings
from tests.support.factories import lead, post
from tests.support.mail.smtp import SmtpServer
from tests.support.services.notifier import notifier, readyz, wait_for_states, watch_files_quickly
from tests.support.wait import eventually

FILE = """
[sites.nord]
name = "Studio Nord"
locale = "de"
templates = "nord"

[sites.sud]
name = "Atelier Sud"
locale = "fr"
"""
OWN = "Subject: {version} von {{{{ sender_name }}}}\n\nMoin {{{{ name }}}}, {{{{ _('Thank you') }}}}!\n"


async def test_each_site_has_its_language_and_its_last_valid_templates(
    settings: Settings,
    smtp: SmtpServer,
    kafka: Kafka,
    db: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    watch_files_quickly(monkeypatch)
    file, template = tmp_path / "sites.toml", tmp_path / "nord" / "welcome.txt"
    file.write_text(FILE)
    template.parent.mkdir()
    template.write_text(OWN.format(version="Erster"))
    settings = settings.model_copy(update={"sites_file": SitesFile(path=file)})
    leads = {
        "nord": lead(site="nord"),
        "nord-en": lead(site="nord", locale="en-GB"),
        "sud": lead(site="sud", locale="xx"),
    }
    async with notifier(settings) as client:
        await post(kafka, *leads.values())
        for each in leads.values():
            await wait_for_states(db, each)
        template.write_text("Subject: x\n\n{{ nmae }}")
        health = await eventually(lambda: readyz(client), until=lambda said: "nmae" in str(said))
        assert health["status"] == "ready"
        during = lead(site="nord")
        await post(kafka, during)
        await wait_for_states(db, during)
        template.write_text(OWN.format(version="Neuer"))
        await eventually(lambda: readyz(client), until=lambda said: "nmae" not in str(said))
        after = lead(site="nord")
        await post(kafka, after)
        await wait_for_states(db, after)

    def subject(of: Any, kind: str) -> str:
        (received,) = smtp.of(of.lead_id, kind)
        return str(received.message["Subject"])

    assert subject(leads["nord"], "welcome") == subject(during, "welcome") == "Erster von Studio Nord"
    assert subject(after, "welcome") == "Neuer von Studio Nord"
    assert subject(leads["nord"], "admin_alert").startswith("Neue Anfrage ")
    assert subject(leads["nord-en"], "admin_alert").startswith("Neue Anfrage ")
    assert subject(leads["sud"], "welcome") == "Merci d’avoir contacté Atelier Sud"  # noqa: RUF001
    (english,) = smtp.of(leads["nord-en"].lead_id, "welcome")
    (german,) = smtp.of(leads["nord"].lead_id, "welcome")
    bodies = [each.message.get_body(("plain",)) for each in (english, german)]
    texts = [str(body and body.get_content()).strip() for body in bodies]
    assert texts == ["Moin Ada Lovelace, Thank you!", "Moin Ada Lovelace, Vielen Dank!"]


async def test_regression_mistakes_in_templates_do_not_stop_the_start(
    settings: Settings, smtp: SmtpServer, kafka: Kafka, db: Any, tmp_path: Path
) -> None:
    file, folder = tmp_path / "sites.toml", tmp_path / "nord"
    file.write_text(FILE)
    folder.mkdir()
    for name, text in (
        ("welcome.txt", "Subject: x\n\n{{ nmae }}"),
        ("welcome.html~", "x"),
        ("README.md", "x"),
    ):
        (folder / name).write_text(text)
    settings = settings.model_copy(update={"sites_file": SitesFile(path=file)})
    sent = lead(site="nord")
    async with notifier(settings) as client:
        health = await readyz(client)
        await post(kafka, sent)
        await wait_for_states(db, sent)
    assert health["parts"]["templates"]["ok"]
    reason = health["parts"]["templates"]["reason"]
    assert reason.startswith("warning: sites.nord.templates: welcome: 'nmae' is undefined. FASTCore's own ")
    assert ". sites.nord.templates: README.md is ignored: " in reason
    assert "welcome.html~" not in reason
    (received,) = smtp.of(sent.lead_id, "welcome")
    assert str(received.message["Subject"]) == "Vielen Dank für Ihre Anfrage bei Studio Nord"
