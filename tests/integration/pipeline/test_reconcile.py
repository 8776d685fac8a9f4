"""The running services after the database was rolled back or the log was replaced."""

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from contracts import topics
from contracts.leads import LeadReceived
from runtime.database.postgres import open_pool
from runtime.settings import Kafka, Postgres
from services.admin.monitoring.queue_counts import count_queue
from tests.support.factories import lead, post, producer
from tests.support.mail.smtp import SmtpServer, smtp_server
from tests.support.services.consumer_services import running_consumers
from tests.support.services.digests import ADMIN_URL, listed_leads
from tests.support.stack import Database, Stack
from tests.support.wait import eventually


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compare the ledger with Kafka every second instead of every minute."""
    monkeypatch.setattr("runtime.kafka.consumer.INTERVAL_SECONDS", 1.0)


@pytest.fixture
async def smtp() -> AsyncIterator[SmtpServer]:
    async with smtp_server() as server:
        yield server


class Copy:
    """A copy of a test's database, which replaces it like a promoted standby."""

    def __init__(self, stack: Stack, database: Database) -> None:
        self._url = stack.admin_url
        self._name = urlsplit(database.owner).path[1:]

    async def copy(self) -> None:
        await self._execute(f'CREATE DATABASE "{self._name}_copy" TEMPLATE "{self._name}"')

    async def promote(self) -> None:
        await self._execute(
            f'DROP DATABASE "{self._name}" WITH (FORCE)',
            f'ALTER DATABASE "{self._name}_copy" RENAME TO "{self._name}"',
        )

    async def _execute(self, *commands: str) -> None:
        connection = await asyncpg.connect(self._url)
        try:
            for command in commands:

                async def done(command: str = command) -> bool:
                    await connection.execute(
                        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname LIKE $1",
                        f"{self._name}%",
                    )
                    with contextlib.suppress(asyncpg.ObjectInUseError):
                        await connection.execute(command)
                        return True
                    return False

                await eventually(done, what=command)
        finally:
            await connection.close()


def reading(database: Database, sql: str) -> Callable[[], Awaitable[Any]]:
    """Run a query on a new connection: the test replaces the database, which closes open connections."""

    async def read() -> Any:
        connection = await asyncpg.connect(database.owner)
        try:
            row = await connection.fetchrow(sql)
            return tuple(row or ())
        finally:
            await connection.close()

    return read


STATES = """SELECT (SELECT count(*) FROM lead_inbox),
                   count(*) FILTER (WHERE state = 'sent'), count(*) FILTER (WHERE state = 'suppressed'),
                   count(*) FILTER (WHERE state = 'waiting'), count(*),
                   (SELECT count(*) FROM replay_queue WHERE state = 'waiting')
            FROM email_delivery"""


ALERTS = """SELECT count(*) FILTER (WHERE state = 'collected'), count(*) FILTER (WHERE state = 'sent')
            FROM email_delivery WHERE kind = 'admin_alert'"""


async def balanced(postgres: Postgres) -> bool:
    async with open_pool(postgres, "test") as pool:
        return (await count_queue(pool)).books.balanced


async def test_regression_rows_lost_by_standby_return_without_second_mail(
    stack: Stack, kafka: Kafka, postgres: Postgres, database: Database, smtp: SmtpServer
) -> None:
    # 185 of 500 stored leads were gone, the ledger balanced, and no metric showed it.
    later, held = lead(email="later@slow.example"), lead(spam_reasons=("rate_ip",))
    smtp.always["rcpt:later@slow.example"] = "451 4.7.1 greylisted"
    before, after = [lead() for _ in range(8)], [lead() for _ in range(8)]
    copy, states = Copy(stack, database), reading(database, STATES)
    async with running_consumers(kafka, postgres, smtp):
        await post(kafka, *before)
        await eventually(states, until=(8, 16, 0, 0, 16, 0).__eq__, what="the first leads")
        await copy.copy()
        await post(kafka, *after, later, held)
        everything = (18, 33, 2, 1, 36, 1)
        await eventually(states, until=everything.__eq__, seconds=40, what="the leads that the copy lacks")
        sent = len(smtp.mails)
        await copy.promote()
        assert await states() != everything
        await eventually(states, until=everything.__eq__, seconds=40, what="all of it again")
        await post(kafka, lead())
        await eventually(states, until=(19, 35, 2, 1, 38, 1).__eq__, what="one more lead")
        assert len(smtp.mails) == sent + 2
    for each in (*before, *after):
        for kind in ("welcome", "admin_alert"):
            assert len(smtp.of(each.lead_id, kind)) == 1
    assert await balanced(postgres)
    missing = await reading(database, "SELECT sum(missing) FROM partition_ledger")()
    assert missing == (0,)
    # The next digest of held leads lists it.
    assert await reading(database, "SELECT count(*) FROM held_lead WHERE digest_id IS NULL")() == (1,)


async def test_alerts_of_a_lost_digest_are_listed_again(
    stack: Stack, kafka: Kafka, postgres: Postgres, database: Database, smtp: SmtpServer
) -> None:
    # Whether the lost digest was sent is not in Kafka: a second mention is harmless, a missing one is not.
    copy, alerts = Copy(stack, database), reading(database, ALERTS)
    settings = {"alert_frequency": "hourly", "admin_url": ADMIN_URL}
    async with running_consumers(kafka, postgres, smtp, **settings):
        await post(kafka, *[lead() for _ in range(3)])
        await eventually(alerts, until=(3, 0).__eq__, what="the first leads")
        await copy.copy()
        lost = [lead() for _ in range(4)]
        await post(kafka, *lost)
        await eventually(alerts, until=(7, 0).__eq__, what="the leads that the copy lacks")
        await eventually(lambda: balanced(postgres), what="a balanced ledger")
        sent = len(smtp.mails)
        await copy.promote()
        await eventually(alerts, until=(7, 0).__eq__, seconds=40, what="all alerts again")
        await reading(database, "UPDATE collected_alert SET due_at = now() RETURNING 1")()
        await eventually(alerts, until=(0, 7).__eq__, seconds=40, what="the digest")
    assert len(smtp.mails) == sent + 1
    assert {str(each.lead_id) for each in lost} <= set(listed_leads(smtp.mails[-1]))


async def test_regression_mails_in_flight_at_standby_get_their_outcome(
    stack: Stack, kafka: Kafka, postgres: Postgres, database: Database, smtp: SmtpServer
) -> None:
    # Their record was committed, so no process read their rows again.
    async with running_consumers(kafka, postgres, smtp):
        await post(kafka, lead())
        await eventually(reading(database, STATES), until=(1, 2, 0, 0, 2, 0).__eq__, what="the lead")

        async def committed() -> int:
            return sum((await commits(kafka, "notifier")).values())

        await eventually(committed, what="the commit")
        await reading(
            database,
            "UPDATE email_delivery SET state = 'sending', lease_until = now() - interval '1 minute',"
            " settled_by = NULL RETURNING 1",
        )()
        await eventually(reading(database, STATES), until=(1, 2, 0, 0, 2, 0).__eq__, what="the outcome")
    assert len(smtp.mails) == 2


async def commits(kafka: Kafka, stage: Any, to: int | None = None) -> dict[TopicPartition, int]:
    """Return the group's committed offsets of leads.received.v1; with `to`, first set partition 0 to it."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=kafka.bootstrap_servers,
        group_id=kafka.topic_prefix + topics.GROUPS[stage],
        enable_auto_commit=False,
    )
    await consumer.start()
    try:
        name = kafka.topic_prefix + topics.RECEIVED.name
        partitions = [TopicPartition(name, number) for number in range(topics.PARTITIONS)]
        consumer.assign(partitions)
        if to is not None:
            await consumer.commit({partitions[0]: to})
        return {each: await consumer.committed(each) or 0 for each in partitions}
    finally:
        await consumer.stop()


async def post_to_first(kafka: Kafka, *leads: LeadReceived) -> None:
    async with producer(kafka) as sender:
        for each in leads:
            await sender.send_and_wait(
                kafka.topic_prefix + topics.RECEIVED.name,
                each.model_dump_json().encode(),
                key=str(each.lead_id).encode(),
                partition=0,
            )


async def test_regression_leads_at_reused_offsets_are_stored_and_mailed(
    kafka: Kafka, postgres: Postgres, database: Database, smtp: SmtpServer
) -> None:
    # 5 of 60 leads that were acknowledged after a power cut were never read.
    old, new = [lead() for _ in range(4)], [lead() for _ in range(8)]
    states = reading(database, STATES)
    async with running_consumers(kafka, postgres, smtp):
        await post_to_first(kafka, *old)
        await eventually(states, until=(4, 8, 0, 0, 8, 0).__eq__, what="the leads before")
    # Both groups had read five more records, which the log lost: other records are at their offsets now.
    await reading(
        database,
        "WITH more AS (UPDATE partition_ledger SET next_offset = 9, duplicate = duplicate + 5,"
        " last_record = '1/00000000' WHERE next_offset = 4 RETURNING 1) SELECT count(*) FROM more",
    )()
    for stage in ("persister", "notifier"):
        await commits(kafka, stage, to=9)
    await post_to_first(kafka, *new)
    async with running_consumers(kafka, postgres, smtp):
        await eventually(states, until=(12, 24, 0, 0, 24, 0).__eq__, seconds=40, what="every lead")
    for each in (*old, *new):
        for kind in ("welcome", "admin_alert"):
            assert len(smtp.of(each.lead_id, kind)) == 1
    assert await balanced(postgres)
    assert await reading(database, "SELECT max(epoch), sum(missing) FROM partition_ledger")() == (2, 0)
