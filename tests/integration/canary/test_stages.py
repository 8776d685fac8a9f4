"""What the persister, the notifier and the webhooks service do with a canary: results, and nothing else."""

from pathlib import Path
from typing import Any

import pytest

from contracts import topics
from runtime.settings import Kafka, Postgres
from tests.support.factories import lead, post, records_of
from tests.support.mail.smtp import smtp_server
from tests.support.services.canaries import add_canary, canary, changed_tables, post_canaries, results_of
from tests.support.services.notifier import notifier, notifier_settings, smtp_settings, wait_for_states
from tests.support.services.persister import count_records, ledger_sums, persister
from tests.support.services.webhooks import destination, webhooks, write_sites
from tests.support.wait import eventually
from tests.support.web.webhook_receiver import webhook_receiver

EVERY_INSERT_FAILS = """
    CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = '{sqlstate}'; END $$;
    CREATE TRIGGER refuse BEFORE INSERT ON lead_inbox FOR EACH ROW
        WHEN (NEW.name = 'FASTCore Canary') EXECUTE FUNCTION refuse();
"""


async def test_the_persister_stores_a_canary_and_leaves_no_trace(
    kafka: Kafka, postgres: Postgres, db: Any
) -> None:
    sent, unknown = await add_canary(db), canary()
    async with persister(kafka, postgres):
        await post_canaries(kafka, sent, unknown)
        assert await results_of(db, sent.lead_id, 2) == {"persister": "ok", "postgresql": "ok"}
        await eventually(lambda: count_records(db), until=lambda n: n == 2)
    assert await changed_tables(db) == []
    sums = await ledger_sums(db)
    assert (sums["canary"], sums["stored"]) == (2, 0)


@pytest.mark.parametrize("sqlstate", ["23514", "P0001"])
async def test_a_canary_that_the_database_refuses_names_postgresql(
    kafka: Kafka, postgres: Postgres, db: Any, sqlstate: str
) -> None:
    await db.execute(EVERY_INSERT_FAILS.format(sqlstate=sqlstate))
    sent, ordinary = await add_canary(db), lead()
    async with persister(kafka, postgres):
        await post_canaries(kafka, sent)
        await post(kafka, ordinary)
        assert sqlstate in (await results_of(db, sent.lead_id, 2))["postgresql"]
        await eventually(lambda: db.fetchval("SELECT count(*) FROM lead_inbox"), until=lambda n: n == 1)
    assert await records_of(kafka, topics.FAILED.name) == []


async def test_the_notifier_asks_the_mail_server_and_sends_nothing(
    kafka: Kafka, postgres: Postgres, db: Any
) -> None:
    async with smtp_server() as smtp, notifier(notifier_settings(kafka, postgres, smtp_settings(smtp))):
        first = await add_canary(db)
        await post_canaries(kafka, first)
        assert await results_of(db, first.lead_id, 2) == {"notifier": "ok", "smtp": "ok"}
        smtp.always["rcpt"] = "550 5.7.1 no"
        second = await add_canary(db)
        await post_canaries(kafka, second)
        assert "smtp 550 5.7.1 at rcpt" in (await results_of(db, second.lead_id, 2))["smtp"]
        del smtp.always["rcpt"]
        ordinary = lead()
        await post(kafka, ordinary)
        await wait_for_states(db, ordinary)
    assert {str(ordinary.lead_id) in str(mail.message["Message-ID"]) for mail in smtp.mails} == {True}
    assert await db.fetchval("SELECT count(*) FROM email_delivery") == 2
    assert (await ledger_sums(db))["canary"] == 2


async def test_the_canary_s_mailbox_gets_both_emails(kafka: Kafka, postgres: Postgres, db: Any) -> None:
    async with smtp_server() as smtp:
        settings = notifier_settings(kafka, postgres, smtp_settings(smtp))
        settings = settings.model_copy(update={"canary_mailbox": "canary@ops.example"})
        async with notifier(settings):
            sent = await add_canary(db)
            await post_canaries(kafka, sent)
            assert await results_of(db, sent.lead_id, 2) == {"notifier": "ok", "smtp": "ok"}
    assert [mail.recipients for mail in smtp.mails] == [["canary@ops.example"]] * 2
    assert [mail.kind for mail in smtp.mails] == ["welcome", "admin_alert"]
    assert await changed_tables(db) == []


async def test_a_paused_notifier_names_the_mail_server_for_canaries_behind(
    kafka: Kafka, postgres: Postgres, db: Any
) -> None:
    async with smtp_server() as smtp, notifier(notifier_settings(kafka, postgres, smtp_settings(smtp))):
        await smtp.stop()
        sent = await add_canary(db)
        await post(kafka, lead())  # pauses the notifier before it reads the canary
        assert "smtp" in (await results_of(db, sent.lead_id, 1))["smtp"]


async def test_destinations_get_the_canary_at_their_test_path_only(
    kafka: Kafka, postgres: Postgres, db: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with webhook_receiver() as receiver, webhook_receiver() as tests:
        sites = write_sites(
            tmp_path,
            destination("crm", receiver.url, canary_url=tests.url),
            destination("chat", receiver.url),
            destination("broken", receiver.url, canary_url="http://127.0.0.1:9/"),
            destination("shop", receiver.url, sites=["shop"], canary_url=tests.url),
        )
        async with webhooks(kafka, postgres, sites, monkeypatch):
            sent = await add_canary(db)
            await post_canaries(kafka, sent)
            results = await results_of(db, sent.lead_id, 4)
    assert results.pop("destination:chat").startswith("ok built, not sent")
    assert results == {
        "webhooks": "ok",
        "destination:crm": "ok",
        "destination:broken": "destination accepts no connection",
    }
    assert (len(tests.events), tests.unverified, receiver.attempts) == (1, 0, {})
    assert await changed_tables(db) == []
    assert (await ledger_sums(db))["canary"] == 1
