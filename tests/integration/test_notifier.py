"""The notifier alone, against a real broker, a real database and a real SMTP server that follows a script."""

import asyncio
import contextlib
import functools
import signal
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from prometheus_client import REGISTRY

from contracts import headers, topics
from contracts.failures import LeadFailed
from contracts.leads import LeadReceived
from runtime.settings import Kafka, Postgres
from services.notifier import handlers
from services.notifier.app import create_app
from services.notifier.mail.message import compose
from services.notifier.settings import Settings, Smtp
from tests.support.factories import lead, post, producer, records_of
from tests.support.processes import processes
from tests.support.smtp import DROP, HANG, SmtpServer, smtp_server, tls_for_localhost
from tests.support.wait import eventually

KINDS = ("welcome", "admin_alert")


@pytest.fixture
async def smtp() -> AsyncIterator[SmtpServer]:
    async with smtp_server() as server:
        yield server


@pytest.fixture
def settings(kafka: Kafka, postgres: Postgres, smtp: SmtpServer) -> Settings:
    return configured(kafka, postgres, server_of(smtp))


def server_of(smtp: SmtpServer, **changes: Any) -> Smtp:
    return Smtp.model_validate({"host": smtp.host, "port": smtp.port, "tls": False} | changes)


def configured(kafka: Kafka, postgres: Postgres, server: Smtp, **changes: Any) -> Settings:
    """The service's settings, with bounds that a busy machine keeps."""
    return Settings.model_validate(
        {
            "kafka": kafka,
            "postgres": postgres,
            "smtp": server,
            "from_email": "hello@fast.example",
            "admin_email": "boss@fast.example",
            "envelope_timeout_seconds": 10.0,
            "answer_timeout_seconds": 5.0,
            "mail_timeout_seconds": 10.0,
            "lease_seconds": 15.0,
        }
        | changes
    )


@pytest.fixture
def quick(settings: Settings) -> Settings:
    """Bounds short enough to wait for."""
    return settings.model_copy(
        update={
            "envelope_timeout_seconds": 1.0,
            "answer_timeout_seconds": 1.0,
            "mail_timeout_seconds": 2.0,
            "lease_seconds": 3.0,
        }
    )


@contextlib.asynccontextmanager
async def notifier(settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    """The whole service in this process: its lifespan, and its routes without a socket."""
    app = create_app(settings)
    transport = httpx.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://notifier") as client,
    ):
        yield client


async def states(db: Any, which: LeadReceived) -> dict[str, str]:
    rows = await db.fetch("SELECT kind, state FROM email_delivery WHERE lead_id = $1", which.lead_id)
    return {row["kind"]: row["state"] for row in rows}


async def settled(
    db: Any, which: LeadReceived, welcome: str = "sent", alert: str = "sent", seconds: float = 20
) -> None:
    """Wait until the lead's mails have come to these states."""
    expected = {"welcome": welcome, "admin_alert": alert}
    await eventually(
        lambda: states(db, which), until=lambda s: s == expected, seconds=seconds, what=f"{expected}"
    )


async def counted(db: Any) -> int:
    return int(await db.fetchval("SELECT coalesce(sum(next_offset - base_offset), 0) FROM partition_ledger"))


async def books_balance(db: Any) -> dict[str, int]:
    """The identity of the notifier's books; returns the sums."""
    row = await db.fetchrow(
        "SELECT sum(stored) stored, sum(duplicate) duplicate, sum(parked) parked,"
        " sum(undecodable) undecodable FROM partition_ledger WHERE stage = 'notifier'"
    )
    sums = {name: int(value) for name, value in row.items()}
    assert await db.fetchval("SELECT count(*) FROM email_delivery") == 2 * sums["stored"]
    return sums


async def failures(kafka: Kafka, count: int) -> dict[str, LeadFailed]:
    """The failures published, by kind, once there are so many."""
    records = await eventually(
        lambda: records_of(kafka, topics.FAILED.name), until=lambda found: len(found) >= count
    )
    assert len(records) == count
    return {each.kind: each for each in (LeadFailed.from_headers(record.headers) for record in records)}


async def events(db: Any, which: LeadReceived) -> list[tuple[str, str, int | None]]:
    rows = await db.fetch(
        "SELECT event, details_json, status_code FROM audit_log WHERE lead_id = $1 ORDER BY id", which.lead_id
    )
    return [(row["event"], row["details_json"]["kind"], row["status_code"]) for row in rows]


async def queued(db: Any, which: LeadReceived, kind: str, state: str = "replaying") -> Any:
    """A row of the replay queue, as the flusher leaves it after sending a retry."""
    return await db.fetchval(
        "INSERT INTO replay_queue (id, stage, kind, lead_id, state, reason, error, next_attempt_at,"
        " origin_topic, origin_partition, origin_offset, origin_timestamp, origin_group, payload,"
        " first_failed_at, last_failed_at)"
        " VALUES ($1, 'notifier', $2, $3, $4, 'r', 'e', now(), 't', 0, 0, now(), 'g', '\\x00', now(), now())"
        " RETURNING id",
        uuid4(),
        kind,
        which.lead_id,
        state,
    )


async def retry(
    kafka: Kafka, which: LeadReceived, kind: str, queue_id: Any = None, attempts: int = 1
) -> None:
    """What the flusher publishes: the original bytes, asking for one kind."""
    async with producer(kafka) as sender:
        await sender.send_and_wait(
            kafka.topic_prefix + topics.RETRY_NOTIFIER.name,
            key=str(which.lead_id).encode(),
            value=which.model_dump_json().encode(),
            headers=[
                (headers.STAGE, b"notifier"),
                (headers.KIND, kind.encode()),
                (headers.RETRY_ATTEMPTS, str(attempts).encode()),
                *([(headers.QUEUE_ID, str(queue_id).encode())] if queue_id else []),
            ],
        )


async def forget_offsets(kafka: Kafka) -> None:
    """Every record comes again, as after a lost commit."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=kafka.bootstrap_servers,
        group_id=kafka.topic_prefix + topics.GROUPS["notifier"],
        enable_auto_commit=False,
    )
    await consumer.start()
    partitions = [
        TopicPartition(kafka.topic_prefix + topic, number)
        for topic in topics.consumed_by("notifier")
        for number in range(topics.PARTITIONS)
    ]
    consumer.assign(partitions)
    await consumer.commit(dict.fromkeys(partitions, 0))
    await consumer.stop()


async def stored(db: Any, which: LeadReceived, status: str = "received") -> None:
    """The lead as the persister stores it."""
    await db.execute(
        "INSERT INTO lead_inbox (id, request_id, site, email, service, status, name, message, body_sha256,"
        " created_at_utc) VALUES ($1, 'r', 's', $2, 'x', $3, 'n', 'm', '', now())",
        which.lead_id,
        which.email,
        status,
    )


async def delivery(
    db: Any, which: LeadReceived, kind: str, state: str, lease: str, owner: Any = None
) -> None:
    """A delivery as a process leaves it that died, or lives elsewhere."""
    await db.execute(
        "INSERT INTO email_delivery (lead_id, kind, state, owner, lease_until, recipient, message_id)"
        " VALUES ($1, $2, $3, $4, now() + $5::text::interval, $6, '<m>')",
        which.lead_id,
        kind,
        state,
        owner or uuid4(),
        lease,
        which.email,
    )


async def test_a_lead_gets_one_welcome_and_the_admin_one_alert(
    settings: Settings, smtp: SmtpServer, kafka: Kafka, db: Any
) -> None:
    sent = lead(name="Zoë <script>alert(1)</script>", message="Line 1\n.\n..dots\nLine 4")
    async with notifier(settings):
        await post(kafka, sent)
        await settled(db, sent)
    (welcome,), (alert,) = smtp.of(sent.lead_id, "welcome"), smtp.of(sent.lead_id, "admin_alert")
    assert len(smtp.mails) == 2
    assert (welcome.sender, welcome.recipients) == ("hello@fast.example", [sent.email])
    assert (alert.sender, alert.recipients) == ("hello@fast.example", ["boss@fast.example"])
    assert welcome.message["To"] == sent.email
    assert "script" not in welcome.text() + welcome.text("html")
    assert "Line 1\n.\n..dots\nLine 4" in alert.text().replace("\r\n", "\n")
    assert "&lt;script&gt;" in alert.text("html")
    assert "<script" not in alert.text("html")
    assert sorted(await events(db, sent)) == [
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
    assert sent.email not in entries
    assert "boss@" not in entries
    assert await books_balance(db) == {"stored": 1, "duplicate": 0, "parked": 0, "undecodable": 0}


async def test_many_leads_over_all_partitions_get_each_mail_once_on_few_connections(
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
    assert smtp.seen["connect"] <= settings.connections + 1  # and the one that readiness asked for
    assert (await books_balance(db))["stored"] == 60


async def test_a_redelivery_sends_nothing_twice(
    settings: Settings, smtp: SmtpServer, kafka: Kafka, db: Any
) -> None:
    leads = [lead() for _ in range(5)]
    async with notifier(settings):
        await post(kafka, *leads, *leads)
        await eventually(lambda: counted(db), until=lambda n: n == 10)
        for each in leads:
            await settled(db, each)
    await forget_offsets(kafka)
    async with notifier(settings):
        last = lead()
        await post(kafka, last)
        await settled(db, last)
        await eventually(lambda: counted(db), until=lambda n: n == 11)
    assert len(smtp.mails) == 12
    assert await books_balance(db) == {"stored": 6, "duplicate": 5, "parked": 0, "undecodable": 0}
    assert await db.fetchval("SELECT count(*) FROM audit_log") == 12


async def test_what_cannot_be_decoded_is_counted_and_left_to_the_persister(
    settings: Settings, smtp: SmtpServer, kafka: Kafka, db: Any
) -> None:
    good = [lead(), lead()]
    topic = kafka.topic_prefix + topics.RECEIVED.name
    async with notifier(settings):
        await post(kafka, good[0])
        async with producer(kafka) as sender:
            await sender.send_and_wait(topic, b"\xff no json", key=b"k", headers=[("x", b"\xff")])
            await sender.send_and_wait(topic, None, key=b"k")
        await post(kafka, good[1])
        for each in good:
            await settled(db, each)
        await eventually(lambda: counted(db), until=lambda n: n == 4)
    assert await records_of(kafka, topics.FAILED.name) == []
    assert (await books_balance(db))["undecodable"] == 2


async def test_a_lead_with_nul_in_every_text_stops_nothing(
    settings: Settings, smtp: SmtpServer, kafka: Kafka, db: Any
) -> None:
    odd = lead(name="a\x00b", request_id="r\x00", site="s\x00", email="a\x00@example.com", message="m\x00")
    good = lead()
    async with notifier(settings):
        await post(kafka, odd, good)
        await settled(db, good)
        await settled(db, odd, "dead", "sent")
    assert (await failures(kafka, 1))["welcome"].reason == "address is not valid"


async def test_451_twice_then_well_arrives_once_by_way_of_the_queue(
    settings: Settings, smtp: SmtpServer, kafka: Kafka, db: Any
) -> None:
    sent = lead()
    smtp.then(f"rcpt:{sent.email}", "451 4.7.1 greylisted, ada@example.com", "451 4.7.1 greylisted")
    async with notifier(settings):
        await post(kafka, sent)
        await settled(db, sent, "waiting", "sent")
        failed = (await failures(kafka, 1))["welcome"]
        assert (failed.final, failed.reason, failed.attempts) == (False, "smtp 451 4.7.1 at rcpt", 0)
        queue_id = await queued(db, sent, "welcome")
        await retry(kafka, sent, "welcome", queue_id)
        await eventually(lambda: records_of(kafka, topics.FAILED.name), until=lambda found: len(found) == 2)
        await settled(db, sent, "waiting", "sent")
        second = LeadFailed.from_headers((await records_of(kafka, topics.FAILED.name))[-1].headers)
        assert (second.attempts, second.queue_id) == (1, queue_id)
        assert second.event_id != failed.event_id
        assert await db.fetchval("SELECT state FROM replay_queue") == "replaying"
        await retry(kafka, sent, "welcome", queue_id, attempts=2)
        await settled(db, sent)
    assert len(smtp.of(sent.lead_id, "welcome")) == 1
    assert len(smtp.mails) == 2
    row = await db.fetchrow("SELECT state, payload FROM replay_queue")
    assert (row["state"], row["payload"]) == ("resolved", None)
    assert await db.fetchval("SELECT attempts FROM email_delivery WHERE kind = 'welcome'") == 3
    welcome = [event for event in await events(db, sent) if event[1] == "welcome"]
    assert [(event, code) for event, _, code in welcome] == [
        ("email.failed", 451),
        ("email.failed", 451),
        ("email.sent", 250),
    ]
    assert "greylisted" not in str(await db.fetch("SELECT * FROM audit_log"))
    assert await books_balance(db) == {"stored": 1, "duplicate": 2, "parked": 0, "undecodable": 0}


async def test_the_failed_record_is_the_lead_byte_for_byte_with_its_first_origin(
    settings: Settings, smtp: SmtpServer, kafka: Kafka, db: Any
) -> None:
    sent = lead()
    smtp.always[f"rcpt:{sent.email}"] = "550 5.1.1 no such user"
    async with notifier(settings):
        await post(kafka, sent)
        await settled(db, sent, "dead", "sent")
    (record,) = await records_of(kafka, topics.FAILED.name)
    (origin,) = await records_of(kafka, topics.RECEIVED.name)
    assert (record.key, record.value) == (origin.key, origin.value)
    failed = LeadFailed.from_headers(record.headers)
    assert (failed.final, failed.reason, failed.stage) == (True, "smtp 550 5.1.1 at rcpt", "notifier")
    assert failed.origin.topic == kafka.topic_prefix + topics.RECEIVED.name
    assert (failed.origin.partition, failed.origin.offset) == (origin.partition, origin.offset)
    assert failed.origin.consumer_group == kafka.topic_prefix + topics.GROUPS["notifier"]
    assert await db.fetchval("SELECT smtp_answer FROM email_delivery WHERE kind = 'welcome'")
    assert ("email.failed", "welcome", 550) in await events(db, sent)


@pytest.mark.parametrize(
    ("phase", "answer"),
    [
        ("connect", "421 4.3.2 not now"),
        ("mail", "550 5.7.1 who are you"),
        ("rcpt", "421 4.7.0 too fast"),
        ("rcpt", "452 4.3.1 disk full"),
        ("rcpt", DROP),
        ("data", DROP),
        ("mail", HANG),
        ("rcpt", HANG),
        ("data", HANG),
        ("connect", HANG),
        ("ehlo", HANG),
    ],
)
async def test_a_fault_of_the_world_pauses_and_burns_nothing(
    quick: Settings, smtp: SmtpServer, kafka: Kafka, db: Any, phase: str, answer: str
) -> None:
    sent = lead()
    smtp.always[phase] = answer
    async with notifier(quick) as client:
        await post(kafka, sent)
        # In one answer: where the server takes a connection and refuses later, the mailer's own probe
        # turns the part green again until the next try.
        await eventually(
            lambda: _readyz(client),
            until=lambda h: (
                h["parts"]["consumer"]["reason"].startswith("paused: smtp") and not h["parts"]["smtp"]["ok"]
            ),
            what="a pause, with the mail server named",
        )
        del smtp.always[phase]
        await settled(db, sent)
        await eventually(lambda: _readyz(client), until=lambda h: h["status"] == "ready", what="readiness")
    assert len(smtp.mails) == 2
    assert await records_of(kafka, topics.FAILED.name) == []
    assert await db.fetchval("SELECT max(attempts) FROM email_delivery") == 1


async def _readyz(client: httpx.AsyncClient) -> Any:
    return (await client.get("/readyz")).json()


async def test_a_refused_login_pauses_until_it_is_accepted(
    settings: Settings, kafka: Kafka, postgres: Postgres, db: Any
) -> None:
    sent = lead()
    async with smtp_server(credentials=("us", "another")) as smtp:
        own = server_of(smtp, user="us", password="secret")
        async with notifier(configured(kafka, postgres, own)) as client:
            await post(kafka, sent)
            await eventually(
                lambda: _readyz(client),
                until=lambda h: "smtp 535 5.7.8 at login" in h["parts"]["consumer"]["reason"],
                what="a pause for the login",
            )
            smtp.credentials = ("us", "secret")
            await settled(db, sent)
    assert await records_of(kafka, topics.FAILED.name) == []


@pytest.mark.parametrize("answer", [DROP, HANG])
async def test_a_mail_lost_after_its_body_is_unknown_and_only_the_alert_is_sent_again(
    quick: Settings, smtp: SmtpServer, kafka: Kafka, db: Any, answer: str
) -> None:
    sent = lead()
    smtp.then("body", answer, answer)
    async with notifier(quick):
        await post(kafka, sent)
        await settled(db, sent, "unknown", "unknown")
        failed = await failures(kafka, 2)
        assert (failed["welcome"].final, failed["admin_alert"].final) == (True, False)
        assert sorted(await events(db, sent)) == [
            ("email.unknown", "admin_alert", None),
            ("email.unknown", "welcome", None),
        ]
        await retry(kafka, sent, "admin_alert")
        await settled(db, sent, "unknown", "sent")
        assert [mail.kind for mail in smtp.mails] == ["admin_alert"]
        first = next(mail for mail in smtp.lost if mail.kind == "admin_alert")
        assert first.message["Message-ID"] == smtp.mails[0].message["Message-ID"]
        # Only because somebody asked for it.
        await retry(kafka, sent, "welcome")
        await settled(db, sent)
    assert len(smtp.of(sent.lead_id, "welcome")) == 1


async def test_a_redelivered_retry_does_not_send_an_unknown_welcome_again(
    settings: Settings, smtp: SmtpServer, kafka: Kafka, db: Any
) -> None:
    sent = lead()
    smtp.then(f"rcpt:{sent.email}", "451 4.7.1 later")
    async with notifier(settings):
        await post(kafka, sent)
        await settled(db, sent, "waiting", "sent")
        smtp.then("body", DROP)
        await retry(kafka, sent, "welcome")
        await settled(db, sent, "unknown", "sent")
        await eventually(lambda: counted(db), until=lambda n: n == 2)
    await forget_offsets(kafka)
    async with notifier(settings):
        last = lead()
        await post(kafka, last)
        await settled(db, last)
        await retry(kafka, last, "admin_alert")
        await eventually(lambda: counted(db), until=lambda n: n == 4)
    assert smtp.of(sent.lead_id, "welcome") == []
    assert (await states(db, sent))["welcome"] == "unknown"
    assert len(await records_of(kafka, topics.FAILED.name)) == 2


async def test_one_mail_that_alone_meets_faults_of_the_world_does_not_block_the_others(
    settings: Settings, smtp: SmtpServer, kafka: Kafka, db: Any
) -> None:
    bad, good = lead(), [lead() for _ in range(5)]
    smtp.always[f"rcpt:{bad.email}"] = "451 4.3.0 lookup of this one fails"
    async with notifier(settings):
        await post(kafka, bad, *good)
        for each in good:
            await settled(db, each)
        await settled(db, bad, "waiting", "sent")
        last = lead()
        await post(kafka, last)
        await settled(db, last)
    assert (await failures(kafka, 1))["welcome"].reason == "smtp 451 4.3.0 at rcpt"


async def test_several_admins_get_the_alert_and_it_is_dead_only_when_all_are_refused(
    settings: Settings, smtp: SmtpServer, kafka: Kafka, postgres: Postgres, db: Any
) -> None:
    several = configured(
        kafka, postgres, server_of(smtp), admin_email="a@fast.example, gone@fast.example,c@fast.example"
    )
    partly, wholly = lead(), lead()
    smtp.always["rcpt:gone@fast.example"] = "550 5.1.1 gone"
    async with notifier(several):
        await post(kafka, partly)
        await settled(db, partly)
        (alert,) = smtp.of(partly.lead_id, "admin_alert")
        assert alert.recipients == ["a@fast.example", "c@fast.example"]
        reason = await db.fetchval("SELECT reason FROM email_delivery WHERE kind = 'admin_alert'")
        assert reason == "1 of 3 recipients refused: smtp 550 5.1.1 at rcpt"
        for admin in ("a", "c"):
            smtp.always[f"rcpt:{admin}@fast.example"] = "550 5.1.1 gone"
        await post(kafka, wholly)
        await settled(db, wholly, "sent", "dead")
    assert (await failures(kafka, 1))["admin_alert"].final


async def test_an_address_beyond_ascii_needs_smtputf8_and_is_dead_without(
    settings: Settings, smtp: SmtpServer, kafka: Kafka, db: Any
) -> None:
    idna, utf8 = lead(email="ada@exämple.de"), lead(email="ädä@example.com")
    async with notifier(settings):
        await post(kafka, idna, utf8)
        await settled(db, idna)
        await settled(db, utf8)
        assert smtp.of(idna.lead_id, "welcome")[0].recipients == ["ada@xn--exmple-cua.de"]
        assert smtp.of(utf8.lead_id, "welcome")[0].recipients == ["ädä@example.com"]
    smtp.smtputf8 = False
    late = lead(email="ädä@example.org")
    async with notifier(settings):
        await post(kafka, late)
        await settled(db, late, "dead", "sent")
    assert "smtputf8" in (await failures(kafka, 1))["welcome"].reason


async def test_what_a_dead_process_had_reserved_is_taken_over_and_what_it_was_sending_is_unknown(
    settings: Settings, smtp: SmtpServer, kafka: Kafka, db: Any
) -> None:
    crashed = lead()
    await delivery(db, crashed, "welcome", "sending", "-1 second")
    await delivery(db, crashed, "admin_alert", "reserved", "-1 second")
    async with notifier(settings):
        await post(kafka, crashed)
        await settled(db, crashed, "unknown", "sent")
        failed = (await failures(kafka, 1))["welcome"]
    assert failed.final
    assert failed.reason == "process ended after the body may have been written"
    assert smtp.of(crashed.lead_id, "welcome") == []


async def test_the_lease_of_another_process_is_waited_out_while_the_others_are_mailed(
    settings: Settings, smtp: SmtpServer, kafka: Kafka, db: Any
) -> None:
    held, free = lead(), lead()
    await delivery(db, held, "welcome", "reserved", "8 seconds")
    await delivery(db, held, "admin_alert", "reserved", "8 seconds")
    async with notifier(settings):
        await post(kafka, held, free)
        await settled(db, free)
        assert await states(db, held) == {"welcome": "reserved", "admin_alert": "reserved"}
        await settled(db, held, seconds=20)
    assert len(smtp.mails) == 4


async def test_regression_leads_of_other_partitions_do_not_wait_for_the_lease_of_another_process(
    settings: Settings, smtp: SmtpServer, kafka: Kafka, db: Any
) -> None:
    # The whole consumer waited for the end of the lease, 50 s.
    held, later = lead(), lead()
    for kind in ("welcome", "admin_alert"):
        await delivery(db, held, kind, "reserved", "15 seconds")

    async def send(which: LeadReceived, partition: int) -> None:
        topic = kafka.topic_prefix + topics.RECEIVED.name
        await raw.send_and_wait(topic, which.model_dump_json().encode(), partition=partition)

    async with notifier(settings), producer(kafka) as raw:
        await send(held, 0)
        await eventually(lambda: counted(db), until=lambda n: n == 1, what="the held lead in the books")
        await send(later, 1)
        await settled(db, later, seconds=8)
        assert (await states(db, held))["welcome"] == "reserved"
        await settled(db, held, seconds=30)
    assert len(smtp.of(held.lead_id, "welcome")) == 1


async def test_that_a_mail_may_be_out_is_committed_before_its_body_goes(
    settings: Settings, smtp: SmtpServer, kafka: Kafka, db: Any
) -> None:
    sent = lead()
    smtp.always["data"] = HANG
    async with notifier(settings):
        await post(kafka, sent)
        await eventually(lambda: _asked(smtp, "data"), until=lambda n: n == 2)
        # Not before the server wants the body: a mail that it lets wait may be given up at any time.
        assert await states(db, sent) == {"welcome": "reserved", "admin_alert": "reserved"}
        del smtp.always["data"]
        smtp.always["body"] = HANG
        await smtp.stop()
        await smtp.start()
        await eventually(lambda: _asked(smtp, "body"), until=lambda n: n == 2)
        assert await states(db, sent) == {"welcome": "sending", "admin_alert": "sending"}
        assert await db.fetchval("SELECT min(lease_until) > now() FROM email_delivery")
        await smtp.stop()
        await settled(db, sent, "unknown", "unknown")


async def _asked(smtp: SmtpServer, phase: str) -> int:
    return smtp.seen[phase]


async def test_an_outcome_that_the_database_could_not_take_is_kept_and_written_later(
    settings: Settings, smtp: SmtpServer, kafka: Kafka, postgres: Postgres, db: Any
) -> None:
    impatient = postgres.model_copy(update={"command_timeout_seconds": 0.3})  # its statements time out
    sent = lead()
    lock = db.transaction()
    held = asyncio.Event()

    def hold() -> None:
        if not held.is_set():
            held.set()
            blocking.append(asyncio.ensure_future(_lock()))

    async def _lock() -> None:
        await lock.start()
        await db.execute("LOCK TABLE audit_log IN EXCLUSIVE MODE")

    blocking: list[asyncio.Future[None]] = []
    smtp.on_body = hold
    async with notifier(configured(kafka, impatient, server_of(smtp), connections=1)) as client:
        await post(kafka, sent)
        await eventually(
            lambda: _readyz(client),
            until=lambda h: h["parts"]["consumer"]["reason"] == "paused: database does not answer",
            what="a pause for the database",
        )
        await blocking[0]
        await lock.rollback()
        await settled(db, sent)
    assert len(smtp.mails) == 2
    assert await records_of(kafka, topics.FAILED.name) == []


async def test_processes_that_come_and_go_send_each_mail_once(
    settings: Settings, smtp: SmtpServer, kafka: Kafka, db: Any
) -> None:
    leads = [lead() for _ in range(90)]

    async def sent() -> int:
        return int(await db.fetchval("SELECT count(*) FROM email_delivery WHERE state = 'sent'"))

    async with notifier(settings):
        await post(kafka, *leads[:30])
        await eventually(sent)
        async with notifier(settings):  # joins, and leaves again
            await post(kafka, *leads[30:60])
            await eventually(sent, until=lambda n: n > 60)
        await post(kafka, *leads[60:])
        await eventually(sent, until=lambda n: n == 180, seconds=40)
    assert len(smtp.mails) == len({str(mail.message["Message-ID"]) for mail in smtp.mails}) == 180
    assert (await books_balance(db))["stored"] == 90
    assert await records_of(kafka, topics.FAILED.name) == []


async def test_a_stop_comes_between_mails_and_what_is_left_is_sent_after_the_start(
    settings: Settings, smtp: SmtpServer, kafka: Kafka, postgres: Postgres, db: Any
) -> None:
    one_by_one = configured(kafka, postgres, server_of(smtp), connections=1)
    leads = [lead() for _ in range(10)]
    first = asyncio.Event()
    smtp.on_body = first.set
    async with notifier(one_by_one):
        await post(kafka, *leads)
        await asyncio.wait_for(first.wait(), 10)
    before = len(smtp.mails)
    assert before < 20
    assert await db.fetchval("SELECT count(*) FROM email_delivery WHERE state = 'sending'") == 0
    assert (
        await db.fetchval(
            "SELECT count(*) FROM email_delivery WHERE state = 'reserved' AND lease_until > now()"
        )
        == 0
    )
    async with notifier(settings):
        for each in leads:
            await settled(db, each)
    assert len(smtp.mails) == 20


async def test_a_mail_server_that_goes_away_and_comes_back_gets_every_mail_once(
    settings: Settings, smtp: SmtpServer, kafka: Kafka, db: Any
) -> None:
    leads = [lead() for _ in range(6)]
    async with notifier(settings) as client:
        await post(kafka, leads[0])
        await settled(db, leads[0])
        await smtp.stop()
        await post(kafka, *leads[1:])
        health = await eventually(
            lambda: _readyz(client), until=lambda h: not h["parts"]["smtp"]["ok"], what="red readiness"
        )
        assert health["parts"]["smtp"]["reason"] == "smtp connection lost at connect"
        await smtp.start()
        for each in leads:
            await settled(db, each)
    assert len(smtp.mails) == 12
    assert await records_of(kafka, topics.FAILED.name) == []


def _pauses() -> float:
    return REGISTRY.get_sample_value("fastcore_pauses_total", {"part": "smtp"}) or 0.0


@pytest.mark.parametrize("end", [DROP, "421 4.4.2 enough mails in this session"])
async def test_a_session_that_the_server_ends_after_a_mail_is_replaced_and_nothing_pauses(
    kafka: Kafka, postgres: Postgres, smtp: SmtpServer, db: Any, end: str
) -> None:
    first, second = lead(), lead()
    async with notifier(configured(kafka, postgres, server_of(smtp), connections=1)):
        await post(kafka, first)
        await settled(db, first)
        connects, pauses = smtp.seen["connect"], _pauses()
        smtp.then("mail", end)
        await post(kafka, second)
        await settled(db, second)
    assert (smtp.seen["connect"], _pauses()) == (connects + 1, pauses)
    assert len(smtp.mails) == 4
    assert await db.fetchval("SELECT max(attempts) FROM email_delivery") == 1


async def test_a_refused_mail_leaves_its_session_fit_for_the_next(
    kafka: Kafka, postgres: Postgres, smtp: SmtpServer, db: Any
) -> None:
    refused, well = lead(), lead()
    pauses = _pauses()
    smtp.always[f"rcpt:{refused.email}"] = "550 5.1.1 no such user"
    async with notifier(configured(kafka, postgres, server_of(smtp), connections=1)):
        await post(kafka, refused)
        await settled(db, refused, "dead", "sent")
        await post(kafka, well)
        await settled(db, well)
    assert _pauses() == pauses
    assert smtp.seen["connect"] <= 2  # and the one that readiness asked for


async def test_the_service_starts_without_a_mail_server_and_says_so(
    settings: Settings, smtp: SmtpServer
) -> None:
    await smtp.stop()
    async with notifier(settings) as client:
        health = await eventually(
            lambda: _readyz(client),
            until=lambda h: h["parts"]["smtp"]["reason"] == "smtp connection lost at connect",
        )
        assert health["status"] == "not ready"
        assert (await client.get("/livez")).status_code == 200
        await smtp.start()
        await eventually(lambda: _readyz(client), until=lambda h: h["status"] == "ready", what="readiness")


async def test_spam_is_suppressed_and_mailed_once_an_admin_says_that_it_is_none(
    settings: Settings, smtp: SmtpServer, kafka: Kafka, db: Any
) -> None:
    spam = lead(spam_reasons=("honeypot",))
    async with notifier(settings):
        await post(kafka, spam)
        await settled(db, spam, "suppressed", "suppressed")
        assert sorted(await events(db, spam)) == [
            ("email.suppressed", "admin_alert", None),
            ("email.suppressed", "welcome", None),
        ]
        await stored(db, spam, "spam")
        await retry(kafka, spam, "welcome", await queued(db, spam, "welcome"))
        await eventually(lambda: db.fetchval("SELECT count(*) FROM replay_queue WHERE state = 'resolved'"))
        assert smtp.mails == []
        await db.execute("UPDATE lead_inbox SET status = 'received'")
        for kind in KINDS:
            await retry(kafka, spam, kind)
        await settled(db, spam)
    assert len(smtp.mails) == 2
    assert (await books_balance(db))["stored"] == 1


async def test_an_erased_lead_is_never_mailed(
    settings: Settings, smtp: SmtpServer, kafka: Kafka, db: Any
) -> None:
    before, after = lead(), lead()
    smtp.always[f"rcpt:{after.email}"] = "451 4.7.1 later"
    await stored(db, before, "erased")
    async with notifier(settings):
        await post(kafka, before, after)
        await settled(db, before, "suppressed", "suppressed")
        await settled(db, after, "waiting", "sent")
        await stored(db, after, "erased")
        await db.execute("UPDATE email_delivery SET recipient = NULL, smtp_answer = NULL")
        smtp.always.clear()
        queue_id = await queued(db, after, "welcome")
        await retry(kafka, after, "welcome", queue_id)
        await settled(db, after, "suppressed", "sent")
    assert [mail.kind for mail in smtp.mails] == ["admin_alert"]
    assert await db.fetchval("SELECT state FROM replay_queue") == "resolved"


async def test_welcomes_to_one_address_are_bounded_in_a_day_and_alerts_are_not(
    settings: Settings, smtp: SmtpServer, kafka: Kafka, db: Any
) -> None:
    leads = [lead(email=email) for email in ["ada+a@example.com", "Ada+b@Example.com"] * 3]
    async with notifier(settings):
        await post(kafka, *leads)
        for each in leads:
            await eventually(
                functools.partial(states, db, each), until=lambda s: s.get("admin_alert") == "sent"
            )
        assert sum(mail.kind == "welcome" for mail in smtp.mails) == settings.welcomes_per_day == 3
        suppressed = await db.fetch("SELECT lead_id, reason FROM email_delivery WHERE state = 'suppressed'")
        assert {row["reason"] for row in suppressed} == {"too many welcomes to this address"}
        again = next(each for each in leads if each.lead_id == suppressed[0]["lead_id"])
        await retry(kafka, again, "welcome")
        await eventually(lambda: counted(db), until=lambda n: n == 7)
        assert (await states(db, again))["welcome"] == "suppressed"
        await db.execute("UPDATE email_delivery SET created_at = created_at - interval '25 hours'")
        await retry(kafka, again, "welcome")
        await settled(db, again)
    assert (await books_balance(db))["stored"] == 6


async def test_welcomes_of_one_site_are_bounded_in_an_hour_over_batches_and_alerts_are_not(
    kafka: Kafka, postgres: Postgres, smtp: SmtpServer, db: Any
) -> None:
    at = datetime(2026, 11, 28, 12, 30, tzinfo=UTC)
    few = configured(kafka, postgres, server_of(smtp), welcomes_per_site_and_hour=2, batch_max_records=1)
    leads = [lead(occurred_at=at) for _ in range(5)]
    others = [lead(occurred_at=at, site="other"), lead(occurred_at=at + timedelta(hours=1))]
    async with notifier(few):
        await post(kafka, *leads, *others)
        for each in [*leads, *others]:
            await eventually(
                functools.partial(states, db, each), until=lambda s: s.get("admin_alert") == "sent"
            )
        for each in others:
            await settled(db, each)
    reasons = await db.fetch("SELECT reason FROM email_delivery WHERE state = 'suppressed'")
    assert [row["reason"] for row in reasons] == ["too many welcomes of this site"] * 3
    assert sum(mail.kind == "welcome" for mail in smtp.mails) == 2 + 2


async def test_a_retry_of_a_mail_that_was_sent_only_ends_its_replay(
    settings: Settings, smtp: SmtpServer, kafka: Kafka, db: Any
) -> None:
    sent = lead()
    async with notifier(settings):
        await post(kafka, sent)
        await settled(db, sent)
        await queued(db, sent, "welcome")
        await retry(kafka, sent, "welcome")
        await eventually(
            lambda: db.fetchval("SELECT state FROM replay_queue"), until=lambda s: s == "resolved"
        )
    assert len(smtp.mails) == 2


async def test_what_is_typed_makes_no_header_on_the_wire(
    settings: Settings, smtp: SmtpServer, kafka: Kafka, db: Any
) -> None:
    typed = "Bob\r\nBcc: victim@example.net\r\n=?UTF-8?Q?=0A?=Bcc: victim@example.net"
    bad = lead(
        name=typed, company=typed, service=typed, message=typed + "\r\n.\r\nRCPT TO:<victim@example.net>"
    )
    worse = lead(email="ada@example.com>\r\nRCPT TO:<victim@example.net")
    async with notifier(settings):
        await post(kafka, bad, worse)
        await settled(db, bad)
        await settled(db, worse, "dead", "sent")
    assert len(smtp.mails) == 3
    for mail in smtp.mails:
        assert "victim@example.net" not in str(mail.recipients)
        assert "Bcc" not in mail.message
        assert len(mail.message.keys()) == 8


async def test_starttls_never_falls_back_to_plain(
    settings: Settings, smtp: SmtpServer, kafka: Kafka, postgres: Postgres, db: Any
) -> None:
    sent = lead()
    async with notifier(configured(kafka, postgres, server_of(smtp, tls=True))) as client:
        await post(kafka, sent)
        await eventually(
            lambda: _readyz(client),
            until=lambda h: h["parts"]["consumer"]["reason"].startswith("paused: smtp server lacks"),
        )
    assert smtp.mails == []
    assert smtp.seen["mail"] == 0


@pytest.mark.parametrize("implicit", [False, True])
async def test_over_tls_the_certificate_is_checked(
    kafka: Kafka, postgres: Postgres, db: Any, monkeypatch: pytest.MonkeyPatch, implicit: bool
) -> None:
    context, trusted = tls_for_localhost()
    sent = lead()
    monkeypatch.setattr(Smtp, "implicit_tls", implicit)  # as port 465 says, which a test cannot have
    async with smtp_server(host="localhost", tls_context=context, implicit_tls=implicit) as smtp:
        settings = configured(kafka, postgres, server_of(smtp, tls=True))
        async with notifier(settings) as client:
            await post(kafka, sent)
            await eventually(
                lambda: _readyz(client),
                until=lambda h: h["parts"]["consumer"]["reason"] == "paused: smtp tls refused at connect",
                what="a pause for the certificate",
            )
        assert smtp.seen["mail"] == 0
        monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
        async with notifier(settings):
            await settled(db, sent)
    assert len(smtp.mails) == 2


async def test_a_record_that_fails_on_its_own_is_parked_and_the_others_are_mailed(
    settings: Settings, smtp: SmtpServer, kafka: Kafka, db: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad, good = lead(), [lead() for _ in range(4)]

    def compose_or_fail(kind: Any, which: LeadReceived, *others: Any) -> Any:
        if which.lead_id == bad.lead_id and kind == "welcome":
            raise ZeroDivisionError
        return compose(kind, which, *others)

    monkeypatch.setattr(handlers, "compose", compose_or_fail)
    async with notifier(settings):
        await post(kafka, bad, *good)
        for each in good:
            await settled(db, each)
        await settled(db, bad, "waiting", "sent")
        failed = (await failures(kafka, 1))["welcome"]
        assert (failed.reason, failed.final) == ("bug: ZeroDivisionError", False)
        monkeypatch.undo()
        await retry(kafka, bad, "welcome")
        await settled(db, bad)
    assert len(smtp.mails) == 10
    assert (await books_balance(db))["stored"] == 5


async def test_the_process_starts_mails_and_stops_on_sigterm(
    smtp: SmtpServer, kafka: Kafka, postgres: Postgres, db: Any, tmp_path: Path
) -> None:
    sent = lead()
    with processes(tmp_path, environment(kafka, postgres, smtp), "notifier") as started:
        await started["notifier"].ready()
        await post(kafka, sent)
        await settled(db, sent)
        assert await started["notifier"].stop(seconds=10) in (0, -signal.SIGTERM)
        log = started["notifier"].log.read_text()
    assert len(smtp.mails) == 2
    assert sent.email not in log
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


async def test_regression_a_stage_whose_every_body_is_refused_stops_until_an_admin_resumes_it(
    settings: Settings, smtp: SmtpServer, kafka: Kafka, db: Any
) -> None:
    # Each with words of its own: the same reply to all would be about us, and nobody would be dead.
    words = ("red", "green", "blue", "black", "white", "brown", "pink")
    smtp.script["body"] = [
        f"554 5.7.1 we do not like {a} {b} {c}" for a in words for b in words for c in words
    ]
    leads = [lead() for _ in range(90)]
    async with notifier(settings) as client:
        await post(kafka, *leads)

        async def paused() -> Any:
            return await db.fetchval("SELECT reason FROM stage_control WHERE stage = 'notifier' AND paused")

        assert "records were dead" in await eventually(paused, seconds=60, what="the breaker")
        health = await eventually(lambda: _readyz(client), until=lambda h: not h["parts"]["consumer"]["ok"])
        assert "resume the stage" in health["parts"]["consumer"]["reason"]
        died = await db.fetchval("SELECT count(*) FROM email_delivery WHERE state = 'dead'")
        # Those of the other connections were on their way, and as many were being written down.
        assert 100 <= died < 100 + 2 * settings.connections
        smtp.script.clear()
        await db.execute("UPDATE stage_control SET paused = false")

        async def sent() -> int:
            return int(await db.fetchval("SELECT count(*) FROM email_delivery WHERE state = 'sent'"))

        await eventually(sent, until=(180 - died).__eq__, seconds=60, what="all others sent")
    assert await db.fetchval("SELECT count(*) FROM email_delivery WHERE state = 'dead'") == died
