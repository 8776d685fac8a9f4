"""A standby without the last commits takes over: a process that remembers its digests sends none twice."""

from typing import Any

import pytest

from runtime.settings import Kafka, Postgres
from services.notifier.digests import alert_digests
from services.notifier.settings import Settings
from tests.integration.notifier.test_digest_failures import collect, digests
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


@pytest.fixture
def hourly(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setattr(alert_digests, "POLL_SECONDS", 3600.0)  # only the tests' own digests are sent
    return settings.model_copy(
        update={"admin_url": ADMIN_URL, "alert_frequency": "hourly", "alert_burst": 20}
    )


FORGET_LIST = """
DELETE FROM alert_digest;
INSERT INTO collected_alert SELECT * FROM kept;
UPDATE collected_alert SET digest_id = NULL;
UPDATE email_delivery SET state = 'collected' WHERE kind = 'admin_alert'
"""


async def test_a_lost_commit_of_the_outcome_causes_no_second_list(
    hourly: Settings, smtp: SmtpServer, kafka: Kafka, postgres: Postgres, db: Any
) -> None:
    await collect(hourly, kafka, db, 2)
    await db.execute("CREATE TABLE kept AS SELECT * FROM collected_alert")
    async with digests(postgres, hourly) as process:
        assert await process.send_due() == 1
        # A standby without the last commits takes over.
        await db.execute("UPDATE email_delivery SET state = 'collected' WHERE kind = 'admin_alert'")
        await db.execute("UPDATE alert_digest SET ended_at = NULL, lease_until = NULL")
        await db.execute("INSERT INTO collected_alert SELECT * FROM kept")
        await db.execute("UPDATE collected_alert SET digest_id = (SELECT id FROM alert_digest)")
        await process.send_due()
    assert await alert_states(db) == {"sent": 2}
    assert len(digest_mails(smtp)) == 1


async def test_a_lost_list_is_not_repeated_within_another_one(
    hourly: Settings, smtp: SmtpServer, kafka: Kafka, postgres: Postgres, db: Any
) -> None:
    leads = await collect(hourly, kafka, db, 2)
    await db.execute("CREATE TABLE kept AS SELECT * FROM collected_alert")
    async with digests(postgres, hourly) as process:
        assert await process.send_due() == 1
        leads += await collect(hourly, kafka, db, 1)
        # A standby without the list takes over. Its alerts are collected again, with one more.
        await db.execute(FORGET_LIST)
        await hurry(db)
        assert await process.send_due() == 0
        assert await process.send_due() == 1
    assert await alert_states(db) == {"sent": 3}
    assert reported_leads(smtp) == once(leads)


async def test_regression_another_process_repeats_a_lost_list_as_the_same_mail(
    hourly: Settings, smtp: SmtpServer, kafka: Kafka, postgres: Postgres, db: Any
) -> None:
    await collect(hourly, kafka, db, 3)
    await db.execute("CREATE TABLE kept AS SELECT * FROM collected_alert")
    # One after the other, the largest id first. After the failover one transaction collects all of them.
    await db.execute(
        "UPDATE collected_alert AS alert SET collected_at = now() - make_interval(secs => before.number)"
        " FROM (SELECT lead_id, rank() OVER (ORDER BY lead_id) AS number FROM collected_alert) AS before"
        " WHERE before.lead_id = alert.lead_id"
    )
    async with digests(postgres, hourly) as process:
        assert await process.send_due() == 1
    await db.execute(FORGET_LIST + "; UPDATE collected_alert SET collected_at = now()")
    await hurry(db)
    async with digests(postgres, hourly) as another:
        assert await another.send_due() == 1
    first, second = digest_mails(smtp)
    assert sorted(listed_leads(first)) == sorted(listed_leads(second))
    assert first.message["Message-ID"] == second.message["Message-ID"]
