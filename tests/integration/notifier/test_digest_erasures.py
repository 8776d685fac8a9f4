"""Leads that are erased while the digest that lists them is being sent. docs/model.md found each of these."""

from typing import Any

import pytest

from contracts.leads import LeadReceived
from runtime.settings import Kafka, Postgres
from services.notifier.digests import alert_digests
from services.notifier.digests.digest_store import DigestStore
from services.notifier.settings import Settings
from tests.integration.notifier.test_digest_failures import collect, digests
from tests.support.mail.smtp import SmtpServer
from tests.support.services.digests import ADMIN_URL, alert_states, die_after_the_body, hurry


@pytest.fixture
def hourly(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setattr(alert_digests, "POLL_SECONDS", 3600.0)  # only the tests' own digests are sent
    return settings.model_copy(
        update={"admin_url": ADMIN_URL, "alert_frequency": "hourly", "alert_burst": 20}
    )


async def _alert_events(db: Any, lead: LeadReceived) -> list[str]:
    rows = await db.fetch(
        "SELECT event FROM audit_log WHERE lead_id = $1 AND details_json ->> 'kind' = 'admin_alert'"
        " ORDER BY id",
        lead.lead_id,
    )
    return [row["event"] for row in rows]


def _erase_in_flight(monkeypatch: pytest.MonkeyPatch, db: Any, lead: LeadReceived) -> None:
    """Erase a lead after the commit of `sending`, before the server has the list."""
    begin_sending = DigestStore.begin_sending

    async def begin_and_erase(*arguments: Any) -> None:
        monkeypatch.setattr(DigestStore, "begin_sending", begin_sending)
        await begin_sending(*arguments)
        assert await alert_states(db) == {"sending": 2}
        await db.execute("SELECT erase_lead($1, 'tom')", lead.lead_id)

    monkeypatch.setattr(DigestStore, "begin_sending", begin_and_erase)


async def test_an_alert_erased_while_its_list_is_refused_is_suppressed(
    hourly: Settings,
    smtp: SmtpServer,
    kafka: Kafka,
    postgres: Postgres,
    db: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    leads = await collect(hourly, kafka, db, 2)
    smtp.then("body", "451 4.7.1 later")
    _erase_in_flight(monkeypatch, db, leads[0])
    async with digests(postgres, hourly) as process:
        assert await process.send_due() == 0
        assert await alert_states(db) == {"suppressed": 1, "waiting": 1}
        await hurry(db)
        assert await process.send_due() == 1
    assert await alert_states(db) == {"suppressed": 1, "sent": 1}
    assert await _alert_events(db, leads[0]) == ["email.suppressed"]


async def test_an_alert_erased_before_an_outage_of_the_server_is_suppressed(
    hourly: Settings,
    smtp: SmtpServer,
    kafka: Kafka,
    postgres: Postgres,
    db: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    leads = await collect(hourly, kafka, db, 2)
    smtp.then("body", "421 4.3.2 closing")
    _erase_in_flight(monkeypatch, db, leads[0])
    async with digests(postgres, hourly) as process:
        assert await process.send_due() == 0
    assert await alert_states(db) == {"suppressed": 1, "collected": 1}


@pytest.mark.parametrize("count", [1, 2])
async def test_an_alert_erased_before_its_process_dies_is_unknown(
    hourly: Settings, smtp: SmtpServer, kafka: Kafka, postgres: Postgres, db: Any, count: int
) -> None:
    leads = await collect(hourly, kafka, db, count)
    async with digests(postgres, hourly, sending_seconds=1.0) as process:
        await die_after_the_body(process, smtp)
    await db.execute("SELECT erase_lead($1, 'tom')", leads[0].lead_id)
    await db.execute("UPDATE alert_digest SET lease_until = now()")
    async with digests(postgres, hourly) as other:
        assert await other.send_due() == 0
        await hurry(db)
        assert await other.send_due() == count - 1
    expected = {"unknown": 1} if count == 1 else {"unknown": 1, "sent": 1}
    assert await alert_states(db) == expected
    assert await _alert_events(db, leads[0]) == ["email.unknown"]
