"""Mails of a site whose sender and recipients the sites file gives."""

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
[sites.studio]
from = "Studio Nörd <hello@studio.example>"
alert_to = ["team@{domain}", "boss@{domain}"]
reply_to = "office@studio.example"
alert_rules = [{{ service = "Hosting", to = ["it@{domain}"] }}]
"""


async def test_a_sites_mails_have_its_sender_and_recipients(
    settings: Settings,
    smtp: SmtpServer,
    kafka: Kafka,
    db: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    watch_files_quickly(monkeypatch)
    file = tmp_path / "sites.toml"
    file.write_text(FILE.format(domain="studio.example"))
    settings = settings.model_copy(update={"sites_file": SitesFile(path=file)})
    of_site, of_other, after_change = lead(site="studio"), lead(site="other"), lead(site="studio")
    by_rule = lead(site="studio", service="hosting")
    async with notifier(settings) as client:
        await post(kafka, of_site, of_other, by_rule)
        await wait_for_states(db, of_site)
        await wait_for_states(db, of_other)
        await wait_for_states(db, by_rule)

        file.write_text("[sites.studio]\nlocale = 1")
        await eventually(lambda: readyz(client), until=lambda said: "locale" in str(said))
        file.write_text(FILE.format(domain="new.example"))
        await eventually(lambda: readyz(client), until=lambda said: "locale" not in str(said))
        await post(kafka, after_change)
        await wait_for_states(db, after_change)

    (welcome,), (alert,) = smtp.of(of_site.lead_id, "welcome"), smtp.of(of_site.lead_id, "admin_alert")
    assert welcome.sender == "hello@studio.example"
    assert welcome.message["From"] == "Studio Nörd <hello@studio.example>"
    assert welcome.message["Reply-To"] == "office@studio.example"
    assert welcome.message["Subject"] == "Thank you for contacting Studio Nörd"
    assert str(welcome.message["Message-ID"]).endswith("@studio.example>")
    assert alert.recipients == ["team@studio.example", "boss@studio.example"]
    (other,) = smtp.of(of_other.lead_id, "admin_alert")
    assert (other.sender, other.recipients) == ("hello@fast.example", ["boss@fast.example"])
    (changed,) = smtp.of(after_change.lead_id, "admin_alert")
    assert changed.recipients == ["team@new.example", "boss@new.example"]
    (ruled,) = smtp.of(by_rule.lead_id, "admin_alert")
    assert ruled.recipients == ["it@studio.example"]
    stored = {
        row["lead_id"]: row["recipient"]
        for row in await db.fetch("SELECT lead_id, recipient FROM email_delivery WHERE kind = 'admin_alert'")
    }
    assert stored[of_site.lead_id] == "team@studio.example, boss@studio.example"
    assert stored[by_rule.lead_id] == "it@studio.example"
