"""Digests that the mail server refuses, and processes that die while they send one."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import pytest

from contracts import headers, topics
from contracts.leads import LeadReceived
from runtime.database.postgres import open_pool
from runtime.failures import DependencyUnavailable, Failure
from runtime.health import Health
from runtime.settings import Kafka, Postgres
from services.notifier.app import open_identities
from services.notifier.digests import alert_digests, digest_store
from services.notifier.digests.alert_digests import AlertDigests
from services.notifier.digests.digest_store import DigestStore
from services.notifier.sending.recent_outcomes import RecentOutcomes
from services.notifier.settings import Settings
from services.notifier.smtp.mailer import open_mailer
from tests.support.factories import lead, post, records_of
from tests.support.mail.smtp import SmtpServer
from tests.support.services.digests import (
    ADMIN_URL,
    alert_states,
    die_after_the_body,
    digest_mails,
    hurry,
    listed_leads,
    once,
    reported_leads,
)
from tests.support.services.notifier import (
    audit_events,
    notifier,
    publish_retry,
    store_lead,
    wait_for_states,
)
from tests.support.wait import eventually


@pytest.fixture
def hourly(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setattr(alert_digests, "POLL_SECONDS", 3600.0)  # only the tests' own digests are sent
    return settings.model_copy(
        update={"admin_url": ADMIN_URL, "alert_frequency": "hourly", "alert_burst": 20}
    )


class FakeFailures:
    """Records the failures that are published."""

    def __init__(self) -> None:
        self.published: list[tuple[Any, str, bool]] = []
        self.error: Failure | None = None

    async def publish(self, record: Any, *_: Any, final: bool, **__: Any) -> None:
        if self.error:
            raise self.error
        self.published.append((record.key, record.topic, final))


@asynccontextmanager
async def digests(
    postgres: Postgres, settings: Settings, failures: Any = None, **seconds: float
) -> AsyncIterator[AlertDigests]:
    """The digests of one more process."""
    stopping = asyncio.Event()
    leases = {"collect_seconds": 600.0, "claim_seconds": 60.0, "sending_seconds": 60.0} | seconds
    identities = open_identities(settings)
    async with (
        open_pool(postgres, "notifier") as pool,
        open_mailer(settings, Health(), stopping) as mailer,
    ):
        store = DigestStore(pool, uuid4(), identities.of, **leases)
        publisher: Any = failures or FakeFailures()
        yield AlertDigests(
            store, mailer, publisher, identities, stopping, RecentOutcomes(Health()), drain_seconds=10.0
        )


async def collect(settings: Settings, kafka: Kafka, db: Any, count: int) -> list[LeadReceived]:
    """Post leads, wait until their alerts are collected, and make their digest due."""
    leads = [lead() for _ in range(count)]
    async with notifier(settings):
        await post(kafka, *leads)
        await eventually(lambda: alert_states(db), until=lambda s: s.get("collected") == count, seconds=40)
    await hurry(db)
    return leads


async def test_a_list_that_is_refused_for_now_is_sent_again_as_it_was(
    hourly: Settings, smtp: SmtpServer, kafka: Kafka, postgres: Postgres, db: Any
) -> None:
    leads = await collect(hourly, kafka, db, 3)
    smtp.then("data", "451 4.7.1 greylisted")
    async with digests(postgres, hourly) as process:
        assert await process.send_due() == 0
        assert await alert_states(db) == {"waiting": 3}
        assert await process.send_due() == 0  # not before its time
        waits = await db.fetchval("SELECT next_attempt_at - now() FROM alert_digest")
        assert 290 < waits.total_seconds() <= 300
        await hurry(db)
        assert await process.send_due() == 1
    assert await alert_states(db) == {"sent": 3}
    assert reported_leads(smtp) == once(leads)
    found = [each for each in await audit_events(db, leads[0]) if each[1] == "admin_alert"]
    assert found == [("email.failed", "admin_alert", 451), ("email.sent", "admin_alert", 250)]


async def test_after_three_retries_each_alert_is_dead_and_can_be_sent_by_itself(
    hourly: Settings, smtp: SmtpServer, kafka: Kafka, postgres: Postgres, db: Any
) -> None:
    leads = await collect(hourly, kafka, db, 3)
    smtp.always["data"] = "451 4.7.1 no"
    failures = FakeFailures()
    async with digests(postgres, hourly, failures) as process:
        for attempt in range(4):
            assert failures.published == []
            assert await process.send_due() == 0, attempt
            await hurry(db)
    assert await alert_states(db) == {"dead": 3}
    assert {key for key, _, _ in failures.published} == {str(each.lead_id).encode() for each in leads}
    assert all(final for _, _, final in failures.published)
    smtp.always.clear()
    async with notifier(hourly):
        await publish_retry(kafka, leads[0], "admin_alert")
        await wait_for_states(db, leads[0])
    assert reported_leads(smtp) == once(leads[:1])
    assert digest_mails(smtp) == []
    # A late bounce of the list must not be taken for one of this email.
    message_id = await db.fetchval(
        "SELECT message_id FROM email_delivery WHERE lead_id = $1 AND kind = 'admin_alert'", leads[0].lead_id
    )
    assert message_id.startswith(f"<{leads[0].lead_id}.admin_alert@")


async def test_a_refused_list_gives_a_failed_delivery_of_each_lead(
    hourly: Settings, smtp: SmtpServer, kafka: Kafka, db: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    leads = await collect(hourly, kafka, db, 25)
    smtp.always["rcpt:boss@fast.example"] = "550 5.1.1 no such mailbox"
    monkeypatch.setattr(alert_digests, "POLL_SECONDS", 0.1)
    async with notifier(hourly):
        await eventually(lambda: alert_states(db), until=lambda s: s == {"dead": 25}, seconds=40)
        records = await records_of(kafka, topics.FAILED.name)
        assert {headers.text(each.headers, headers.FINAL) for each in records} == {"true"}
        values = {each.value for each in records}
        assert values == {each.model_dump_json().encode() for each in leads}
        smtp.always.clear()
        await db.execute("UPDATE email_delivery SET requested_at = now() - interval '11 minutes'")
        for each in leads:  # a person sends all of them again: 20 by themselves, the others as a list
            await publish_retry(kafka, each, "admin_alert")
        await eventually(
            lambda: alert_states(db), until=lambda s: s == {"sent": 20, "collected": 5}, seconds=40
        )
        await hurry(db)
        await eventually(lambda: alert_states(db), until=lambda s: s == {"sent": 25}, seconds=40)
    assert reported_leads(smtp) == once(leads)


async def test_a_process_that_dies_after_the_body_leaves_unknown_alerts(
    hourly: Settings, smtp: SmtpServer, kafka: Kafka, postgres: Postgres, db: Any
) -> None:
    leads = await collect(hourly, kafka, db, 2)
    async with digests(postgres, hourly, sending_seconds=1.0) as process:
        await die_after_the_body(process, smtp)
    assert await alert_states(db) == {"sending": 2}
    async with digests(postgres, hourly) as other:
        assert await other.send_due() == 0  # the lease is still valid
        await db.execute("UPDATE alert_digest SET lease_until = now()")
        assert await other.send_due() == 0
        assert await alert_states(db) == {"unknown": 2}
        assert digest_mails(smtp) == []
        await hurry(db)
        assert await other.send_due() == 1
    assert await alert_states(db) == {"sent": 2}
    (first,), (second,) = smtp.lost, digest_mails(smtp)
    assert first.message["Message-ID"] == second.message["Message-ID"]
    assert listed_leads(first) == listed_leads(second)
    found = [event for event, kind, _ in await audit_events(db, leads[0]) if kind == "admin_alert"]
    assert found == ["email.unknown", "email.sent"]


async def test_two_processes_share_many_digests_of_bounded_size(
    hourly: Settings,
    smtp: SmtpServer,
    kafka: Kafka,
    postgres: Postgres,
    db: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(digest_store, "LISTED_MAX", 7)
    leads = await collect(hourly, kafka, db, 100)
    async with digests(postgres, hourly) as one, digests(postgres, hourly) as other:
        await asyncio.gather(one._store.make_digests(), other._store.make_digests())
        sent = await asyncio.gather(one.send_due(), other.send_due())
    assert sum(sent) == 15
    assert min(sent) > 0
    assert await alert_states(db) == {"sent": 100}
    assert reported_leads(smtp) == once(leads)
    subjects = {str(mail.message["Subject"]) for mail in digest_mails(smtp)}
    assert subjects == {f"7 new leads: default ({part}/15)" for part in range(1, 15)} | {
        "2 new leads: default (15/15)"
    }


async def test_a_lead_that_is_erased_just_before_the_body_is_not_listed(
    hourly: Settings,
    smtp: SmtpServer,
    kafka: Kafka,
    postgres: Postgres,
    db: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    leads = await collect(hourly, kafka, db, 3)
    await store_lead(db, leads[0])
    begin_sending = DigestStore.begin_sending

    async def erase_first(*arguments: Any) -> None:
        await db.execute("SELECT erase_lead($1, 'tom')", leads[0].lead_id)
        await begin_sending(*arguments)

    monkeypatch.setattr(DigestStore, "begin_sending", erase_first)
    async with digests(postgres, hourly) as process:
        assert await process.send_due() == 0
        assert await process.send_due() == 1
    assert reported_leads(smtp) == once(leads[1:])
    assert await alert_states(db) == {"sent": 2, "suppressed": 1}


async def test_an_unavailable_server_uses_up_no_retry_and_makes_one_list(
    hourly: Settings, smtp: SmtpServer, kafka: Kafka, postgres: Postgres, db: Any
) -> None:
    leads = await collect(hourly, kafka, db, 4)
    later = "UPDATE collected_alert SET digest_id = NULL WHERE lead_id = $1"
    smtp.always["mail"] = "421 4.3.2 shutting down"
    async with digests(postgres, hourly) as process:
        for each in leads[:3]:  # as long as the first list waits, further leads wait for one more
            assert await process.send_due() == 0
            await db.execute(later, each.lead_id)
            await hurry(db)
        assert await db.fetchval("SELECT array_agg(attempts) FROM alert_digest") == [0]
        smtp.always.clear()
        assert await process.send_due() == 1
        assert await process.send_due() == 1
    assert [len(listed_leads(mail)) for mail in digest_mails(smtp)] == [1, 3]
    assert reported_leads(smtp) == once(leads)


async def test_without_kafka_a_refused_list_keeps_its_alerts(
    hourly: Settings, smtp: SmtpServer, kafka: Kafka, postgres: Postgres, db: Any
) -> None:
    await collect(hourly, kafka, db, 2)
    smtp.then("data", "554 5.7.1 no")
    failures = FakeFailures()
    failures.error = DependencyUnavailable("kafka", "kafka does not answer")
    async with digests(postgres, hourly, failures) as process:
        sending = asyncio.create_task(process.send_due())
        await eventually(lambda: asyncio.sleep(0, smtp.seen["data"]), until=lambda n: n > 0)
        await asyncio.sleep(1.0)
        assert not sending.done()
        failures.error = None
        assert await sending == 0
    assert await alert_states(db) == {"dead": 2}
    assert len(failures.published) == 2
