"""Digests of new leads, on a real Kafka, PostgreSQL and SMTP server: bursts, schedules, and lost leads."""

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest

from runtime.settings import Kafka, SitesFile
from services.notifier.settings import Settings
from tests.support.factories import lead, post
from tests.support.mail.smtp import SmtpServer
from tests.support.services.digests import (
    ADMIN_URL,
    alert_states,
    digest_mails,
    hurry,
    listed_leads,
    once,
    reported_leads,
)
from tests.support.services.notifier import (
    audit_events,
    balanced_ledger,
    notifier,
    publish_retry,
    reset_offsets,
    store_lead,
    wait_for_states,
    watch_files_quickly,
)
from tests.support.wait import eventually


@pytest.fixture
def settings(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setattr("services.notifier.digests.alert_digests.POLL_SECONDS", 0.1)
    return settings.model_copy(update={"admin_url": ADMIN_URL, "alert_burst": 20})


@pytest.fixture
def hourly(settings: Settings) -> Settings:
    return settings.model_copy(update={"alert_frequency": "hourly"})


async def wait_for_alerts(db: Any, expected: dict[str, int], seconds: float = 40) -> None:
    await eventually(
        lambda: alert_states(db), until=lambda s: s == expected, seconds=seconds, what=f"{expected}"
    )


async def test_a_burst_becomes_20_alerts_and_a_list_of_all_others(
    settings: Settings, smtp: SmtpServer, kafka: Kafka, db: Any
) -> None:
    leads = [lead() for _ in range(160)]
    async with notifier(settings):
        await post(kafka, *leads)
        await wait_for_alerts(db, {"sent": 20, "collected": 140})
        due = await db.fetchrow(
            "SELECT min(due_at) - now() AS first, max(due_at) - min(due_at) AS spread FROM collected_alert"
        )
        assert 500 < due["first"].total_seconds() <= 600
        assert due["spread"].total_seconds() == 0
        await eventually(lambda: asyncio.sleep(0, len(smtp.mails)), until=lambda n: n == 180)
        assert digest_mails(smtp) == []
        await hurry(db)
        await wait_for_alerts(db, {"sent": 160})
    (digest,) = digest_mails(smtp)
    assert digest.message["Subject"] == "140 new leads: default"
    assert digest.message["Reply-To"] is None
    assert digest.recipients == ["boss@fast.example"]
    assert reported_leads(smtp) == once(leads)
    ids = {
        row[0] for row in await db.fetch("SELECT message_id FROM email_delivery WHERE kind = 'admin_alert'")
    }
    assert len(ids) == 21
    assert digest.message["Message-ID"] in ids
    assert await db.fetchval("SELECT count(*) FROM collected_alert") == 0
    assert await db.fetchval("SELECT count(*) FROM audit_log WHERE event = 'email.sent'") == 320
    assert (await balanced_ledger(db))["stored"] == 160


async def test_a_burst_that_goes_on_is_sent_once_in_each_period(
    settings: Settings, smtp: SmtpServer, kafka: Kafka, db: Any
) -> None:
    settings = settings.model_copy(update={"alert_burst": 2, "alert_burst_seconds": 2.0})
    leads = [lead(), lead()]
    began = time.monotonic()
    async with notifier(settings):
        await post(kafka, *leads)
        await wait_for_alerts(db, {"sent": 2})
        while len(digest_mails(smtp)) < 2 and time.monotonic() - began < 60:
            leads.append(lead())
            await post(kafka, leads[-1])
            await asyncio.sleep(0.15)
        await wait_for_alerts(db, {"sent": len(leads)})
        periods = (time.monotonic() - began) / 2.0
        await asyncio.sleep(2.5)
        after = [lead(), lead()]
        await post(kafka, *after)
        await wait_for_alerts(db, {"sent": len(leads) + 2})
    assert reported_leads(smtp) == once(leads + after)
    assert 2 <= len(digest_mails(smtp)) <= periods + 1
    assert all(len(smtp.of(each.lead_id, "admin_alert")) == 1 for each in [*leads[:2], *after])


async def test_a_site_with_a_schedule_gets_a_list_and_visitors_their_answers(
    hourly: Settings, smtp: SmtpServer, kafka: Kafka, db: Any
) -> None:
    leads = [lead(), lead(name=None, email=None, phone="+49 30 1234567", message="Zwei\nZeilen")]
    async with notifier(hourly):
        await post(kafka, *leads)
        await wait_for_states(db, leads[0], "sent", "collected")
        await wait_for_states(db, leads[1], "suppressed", "collected")
    await reset_offsets(kafka)  # the records of collected alerts are redelivered
    async with notifier(hourly):
        await eventually(lambda: balanced_ledger(db), until=lambda counted: counted["stored"] == 2)
        await hurry(db)
        await wait_for_alerts(db, {"sent": 2})
    (digest,) = digest_mails(smtp)
    assert "+49 30 1234567" in digest.text()
    assert "Zwei Zeilen" in digest.text()
    assert reported_leads(smtp) == once(leads)
    assert sorted(await audit_events(db, leads[0])) == [
        ("email.sent", "admin_alert", 250),
        ("email.sent", "welcome", 250),
    ]


async def test_erased_leads_and_spam_leave_the_list(
    hourly: Settings, smtp: SmtpServer, kafka: Kafka, db: Any
) -> None:
    leads = [lead() for _ in range(4)]
    for each in leads[:3]:
        await store_lead(db, each)
    async with notifier(hourly):
        await post(kafka, *leads)
        await wait_for_alerts(db, {"collected": 4})
        await db.execute("SELECT erase_lead($1, 'tom')", leads[0].lead_id)
        assert await alert_states(db) == {"collected": 3, "suppressed": 1}
        await db.execute("UPDATE lead_inbox SET status = 'spam' WHERE id = $1", leads[1].lead_id)
        await hurry(db)
        await wait_for_alerts(db, {"sent": 2, "suppressed": 2})
    assert reported_leads(smtp) == once(leads[2:])
    assert ("email.suppressed", "admin_alert", None) in await audit_events(db, leads[1])
    assert await db.fetchval("SELECT count(*) FROM collected_alert") == 0


async def test_a_released_lead_joins_the_next_list(
    hourly: Settings, smtp: SmtpServer, kafka: Kafka, db: Any
) -> None:
    spam, other = lead(spam_reasons=("honeypot",)), lead()
    async with notifier(hourly):
        await post(kafka, spam, other)
        await wait_for_states(db, spam, "suppressed", "suppressed")
        await store_lead(db, spam)
        await publish_retry(kafka, spam, "admin_alert")
        await wait_for_alerts(db, {"collected": 2})
        await hurry(db)
        await wait_for_alerts(db, {"sent": 2})
    assert len(digest_mails(smtp)) == 1
    assert reported_leads(smtp) == once([spam, other])


async def test_a_change_of_the_setting_loses_no_collected_lead(
    settings: Settings,
    smtp: SmtpServer,
    kafka: Kafka,
    db: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    watch_files_quickly(monkeypatch)
    file = tmp_path / "sites.toml"
    daily = (
        '[sites.studio]\nalert_frequency = "daily"\nalert_hour = {hour}\n'
        'alert_to = ["{to}"]\nalert_rules = [{{ service = "Hosting", to = ["it@studio.example"] }}]\n'
    )
    hour = (await db.fetchval("SELECT extract(hour FROM now() AT TIME ZONE 'UTC')::int") + 12) % 24
    file.write_text(daily.format(hour=hour, to="team@studio.example"))
    settings = settings.model_copy(
        update={"sites_file": SitesFile(path=file), "alert_burst": 5, "alert_burst_seconds": 1.0}
    )
    leads = [lead(site="studio", service=name) for name in ("Design", "hosting", "Design")]
    async with notifier(settings):
        await post(kafka, *leads)
        await wait_for_alerts(db, {"collected": 3})
        text = file.read_text().replace("daily", "immediate").replace("team@", "new@")
        file.write_text(text)
        await wait_for_alerts(db, {"sent": 3})
        after = lead(site="studio")
        await post(kafka, after)
        await wait_for_states(db, after)
    digests = {tuple(mail.recipients): listed_leads(mail) for mail in digest_mails(smtp)}
    assert digests.keys() == {("new@studio.example",), ("it@studio.example",)}
    assert digests["it@studio.example",] == [str(leads[1].lead_id)]
    assert reported_leads(smtp) == once([*leads, after])
