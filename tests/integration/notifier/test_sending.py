"""The two mails of a lead, against real servers: content, recipients and connections."""

import signal
from pathlib import Path
from typing import Any
from uuid import uuid4

from runtime.settings import Kafka, Postgres
from services.notifier import store
from services.notifier.settings import Settings
from tests.support.factories import lead, post
from tests.support.mail.smtp import SmtpServer
from tests.support.services.notifier import (
    audit_events,
    balanced_ledger,
    notifier,
    notifier_settings,
    published_failures,
    smtp_settings,
    wait_for_states,
)
from tests.support.services.processes import processes
from tests.support.wait import eventually

KINDS = ("welcome", "admin_alert")


async def test_a_lead_gets_one_welcome_and_one_alert(
    settings: Settings, smtp: SmtpServer, kafka: Kafka, db: Any
) -> None:
    sent = lead(name="Zoë <script>alert(1)</script>", message="Line 1\n.\n..dots\nLine 4")
    async with notifier(settings):
        await post(kafka, sent)
        await wait_for_states(db, sent)
    (welcome,), (alert,) = smtp.of(sent.lead_id, "welcome"), smtp.of(sent.lead_id, "admin_alert")
    assert len(smtp.mails) == 2
    assert (welcome.sender, welcome.recipients) == ("hello@fast.example", [sent.email])
    assert (alert.sender, alert.recipients) == ("hello@fast.example", ["boss@fast.example"])
    assert welcome.message["To"] == sent.email
    assert "script" not in welcome.text() + welcome.text("html")
    assert "> Line 1\n> .\n> ..dots\n> Line 4" in alert.text().replace("\r\n", "\n")
    assert "&lt;script&gt;" in alert.text("html")
    assert "<script" not in alert.text("html")
    assert sorted(await audit_events(db, sent)) == [
        ("email.sent", "admin_alert", 250),
        ("email.sent", "welcome", 250),
    ]
    row = await db.fetchrow("SELECT * FROM email_delivery WHERE kind = 'welcome'")
    assert (row["recipient"], row["attempts"], row["owner"], row["lease_until"]) == (
        sent.email,
        1,
        None,
        None,
    )
    assert row["message_id"] == welcome.message["Message-ID"]
    assert row["sent_at"]
    entries = str([dict(row) for row in await db.fetch("SELECT * FROM audit_log")])
    assert str(sent.email) not in entries
    assert "boss@" not in entries
    assert await balanced_ledger(db) == {"stored": 1, "duplicate": 0, "parked": 0, "undecodable": 0}


async def test_many_leads_get_each_mail_once_on_few_connections(
    settings: Settings, smtp: SmtpServer, kafka: Kafka, db: Any
) -> None:
    leads = [lead() for _ in range(60)]
    async with notifier(settings):
        await post(kafka, *leads)
        await eventually(
            lambda: db.fetchval("SELECT count(*) FROM email_delivery WHERE state = 'sent'"),
            until=lambda n: n == 120,
            what="120 mails",
        )
    assert len(smtp.mails) == 120
    assert all(len(smtp.of(each.lead_id, kind)) == 1 for each in leads for kind in KINDS)
    assert smtp.seen["connect"] <= settings.connections + 1  # and the mailer's probe
    assert (await balanced_ledger(db))["stored"] == 60


async def test_an_alert_is_dead_only_when_all_admins_are_refused(
    settings: Settings, smtp: SmtpServer, kafka: Kafka, postgres: Postgres, db: Any
) -> None:
    several = notifier_settings(
        kafka, postgres, smtp_settings(smtp), admin_email="a@fast.example, gone@fast.example,c@fast.example"
    )
    partly, wholly = lead(), lead()
    smtp.always["rcpt:gone@fast.example"] = "550 5.1.1 gone"
    async with notifier(several):
        await post(kafka, partly)
        await wait_for_states(db, partly)
        (alert,) = smtp.of(partly.lead_id, "admin_alert")
        assert alert.recipients == ["a@fast.example", "c@fast.example"]
        reason = await db.fetchval("SELECT reason FROM email_delivery WHERE kind = 'admin_alert'")
        assert reason == "1 of 3 recipients refused: smtp 550 5.1.1 at rcpt"
        for admin in ("a", "c"):
            smtp.always[f"rcpt:{admin}@fast.example"] = "550 5.1.1 gone"
        await post(kafka, wholly)
        await wait_for_states(db, wholly, "sent", "dead")
    assert (await published_failures(kafka, 1))["admin_alert"].final


async def test_a_non_ascii_address_is_dead_without_smtputf8(
    settings: Settings, smtp: SmtpServer, kafka: Kafka, db: Any
) -> None:
    idna, utf8 = lead(email="ada@exämple.de"), lead(email="ädä@example.com")
    async with notifier(settings):
        await post(kafka, idna, utf8)
        await wait_for_states(db, idna)
        await wait_for_states(db, utf8)
        assert smtp.of(idna.lead_id, "welcome")[0].recipients == ["ada@xn--exmple-cua.de"]
        assert smtp.of(utf8.lead_id, "welcome")[0].recipients == ["ädä@example.com"]
    smtp.smtputf8 = False
    late = lead(email="ädä@example.org")
    async with notifier(settings):
        await post(kafka, late)
        await wait_for_states(db, late, "dead", "sent")
    assert "smtputf8" in (await published_failures(kafka, 1))["welcome"].reason


async def test_user_input_makes_no_header_and_no_recipient(
    settings: Settings, smtp: SmtpServer, kafka: Kafka, db: Any
) -> None:
    typed = "Bob\r\nBcc: victim@example.net\r\n=?UTF-8?Q?=0A?=Bcc: victim@example.net"
    bad = lead(
        name=typed, company=typed, service=typed, message=typed + "\r\n.\r\nRCPT TO:<victim@example.net>"
    )
    worse = lead(email="ada@example.com>\r\nRCPT TO:<victim@example.net")
    async with notifier(settings):
        await post(kafka, bad, worse)
        await wait_for_states(db, bad)
        await wait_for_states(db, worse, "dead", "sent")
    assert len(smtp.mails) == 3
    for mail in smtp.mails:
        assert "victim@example.net" not in str(mail.recipients)
        assert "Bcc" not in mail.message
        assert "victim@example.net" not in mail.message.get("Reply-To", "")
        assert len(mail.message.keys()) == 8 + ("Reply-To" in mail.message)
    # Only the alert of the lead with a valid address has one.
    assert sum("Reply-To" in mail.message for mail in smtp.mails) == 1


async def test_the_process_sends_mails_and_stops_on_sigterm(
    smtp: SmtpServer, kafka: Kafka, postgres: Postgres, db: Any, tmp_path: Path
) -> None:
    sent = lead()
    with processes(tmp_path, environment(kafka, postgres, smtp), "notifier") as started:
        await started["notifier"].ready()
        await post(kafka, sent)
        await wait_for_states(db, sent)
        assert await started["notifier"].stop(seconds=10) in (0, -signal.SIGTERM)
        log = started["notifier"].log.read_text()
    assert len(smtp.mails) == 2
    assert str(sent.email) not in log
    assert "boss@fast.example" not in log


def environment(kafka: Kafka, postgres: Postgres, smtp: SmtpServer) -> dict[str, str]:
    return {
        "KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
        "KAFKA_TOPIC_PREFIX": kafka.topic_prefix,
        "DATABASE_URL": postgres.url.get_secret_value(),
        "SMTP_HOST": smtp.host,
        "SMTP_PORT": str(smtp.port),
        "SMTP_TLS": "false",
        "FROM_EMAIL": "hello@fast.example",
        "ADMIN_EMAIL": "boss@fast.example",
    }


async def test_a_state_is_written_without_reading_the_other_open_mails(db: Any) -> None:
    # At rest no row is `reserved`, so the planner expects none. It read all of them for each mail.
    insert = """
        INSERT INTO email_delivery (lead_id, kind, state, owner, lease_until, message_id, recipient)
        SELECT gen_random_uuid(), 'welcome', $1, $2, now(), 'm', 'r' FROM generate_series(1, $3::int)
        RETURNING lead_id"""
    owner = uuid4()
    await db.fetch(insert, "sent", owner, 3000)
    await db.execute("ANALYZE email_delivery")
    reserved = [row["lead_id"] for row in await db.fetch(insert, "reserved", owner, 500)][:10]
    given = dict.fromkeys(store._SQL.driver_adapter.var_sorted["move_mails"], [None] * 10) | {
        "owner": owner,
        "lease_seconds": 50.0,
        "lead_ids": reserved,
        "kinds": ["welcome"] * 10,
        "states": ["sending"] * 10,
        "tries": [0] * 10,
    }
    rows = await db.fetch(
        "EXPLAIN (ANALYZE, TIMING OFF) " + store._SQL.move_mails.sql,
        *(given[name] for name in store._SQL.driver_adapter.var_sorted["move_mails"]),
    )
    plan = "\n".join(row[0] for row in rows)
    assert "email_delivery_pkey" in plan
    assert "email_delivery_open" not in plan
    assert "Seq Scan on email_delivery" not in plan
    assert await db.fetchval("SELECT count(*) FROM email_delivery WHERE state = 'sending'") == 10
