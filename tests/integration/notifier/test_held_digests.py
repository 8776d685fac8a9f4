"""Held leads: no email for each, and one digest for the team, on a real PostgreSQL and an SMTP server."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from contracts.leads import LeadReceived
from runtime.database.postgres import open_pool
from runtime.health import Health
from runtime.settings import Kafka, Postgres
from services.notifier.digests.held_digests import DigestTimes, HeldDigests
from services.notifier.settings import Settings
from services.notifier.smtp.mailer import open_mailer
from tests.support.factories import lead, post
from tests.support.mail.smtp import DROP, SmtpServer
from tests.support.services.notifier import (
    IDENTITIES,
    audit_events,
    balanced_ledger,
    notifier,
    store_lead,
    wait_for_states,
)

AT_ONCE = DigestTimes(collect=0.0)


def held() -> LeadReceived:
    return lead(spam_reasons=("rate_ip",))


@asynccontextmanager
async def digests(
    postgres: Postgres, settings: Settings, times: DigestTimes = AT_ONCE
) -> AsyncIterator[HeldDigests]:
    async with (
        open_pool(postgres, "notifier") as pool,
        open_mailer(settings, Health(), asyncio.Event()) as mailer,
    ):
        yield HeldDigests(pool, mailer, IDENTITIES, times)


async def hold(db: Any, of: LeadReceived, status: str = "held") -> None:
    await store_lead(db, of, status)
    await db.execute("INSERT INTO held_lead (lead_id, site) VALUES ($1, 'studio')", of.lead_id)


def subjects(smtp: SmtpServer) -> list[str]:
    return [str(mail.message["Subject"]) for mail in smtp.mails]


async def test_held_leads_get_no_email_and_one_digest_lists_them(
    settings: Settings, smtp: SmtpServer, kafka: Kafka, postgres: Postgres, db: Any
) -> None:
    leads = [held() for _ in range(3)]
    for each in leads:
        await store_lead(db, each, "held")
    async with notifier(settings):
        await post(kafka, *leads)
        for each in leads:
            await wait_for_states(db, each, "suppressed", "suppressed")
    assert sorted(await audit_events(db, leads[0])) == [
        ("email.suppressed", "admin_alert", None),
        ("email.suppressed", "welcome", None),
    ]
    assert (await balanced_ledger(db))["stored"] == 3
    assert smtp.mails == []
    async with digests(postgres, settings) as digest:
        assert await digest.send_due() == 1
        assert await digest.send_due() == 0
    assert subjects(smtp) == ["3 held leads to check: default"]
    text = smtp.mails[0].text()
    assert all(str(each.lead_id)[-8:] in text for each in leads)


async def test_the_next_digest_of_a_site_waits_and_lists_only_new_leads(
    settings: Settings, smtp: SmtpServer, postgres: Postgres, db: Any
) -> None:
    async with digests(postgres, settings, DigestTimes(collect=300.0)) as patient:
        await hold(db, held())
        assert await patient.send_due() == 0
    async with digests(postgres, settings) as digest:
        assert await digest.send_due() == 1
        later = [held(), held()]
        for each in later:
            await hold(db, each)
        assert await digest.send_due() == 0
        await db.execute("UPDATE held_digest SET sent_at = sent_at - interval '61 minutes'")
        assert await digest.send_due() == 1
    assert subjects(smtp) == ["1 held lead to check: studio", "2 held leads to check: studio"]


async def test_a_refused_digest_is_sent_again_later(
    settings: Settings, smtp: SmtpServer, postgres: Postgres, db: Any
) -> None:
    await hold(db, held())
    smtp.then("data", "451 4.3.0 try later")
    async with digests(postgres, settings) as digest:
        assert await digest.send_due() == 0
        row = await db.fetchrow("SELECT reason, sent_at, next_attempt_at > now() AS later FROM held_digest")
        assert ("451" in row["reason"], row["sent_at"], row["later"]) == (True, None, True)
        await db.execute("UPDATE held_digest SET next_attempt_at = now()")
        assert await digest.send_due() == 1
    assert len(smtp.mails) == 1


async def test_regression_new_leads_join_a_digest_that_could_not_be_sent(
    settings: Settings, smtp: SmtpServer, postgres: Postgres, db: Any
) -> None:
    # After six hours of refusals a site had six digests.
    await hold(db, held())
    smtp.always["data"] = "451 4.3.0 try later"
    async with digests(postgres, settings) as digest:
        for _ in range(3):
            assert await digest.send_due() == 0
            await hold(db, held())
            await db.execute(
                "UPDATE held_digest SET created_at = created_at - interval '2 hours', next_attempt_at = now()"
            )
        smtp.always.clear()
        assert await digest.send_due() == 1
    assert subjects(smtp) == ["4 held leads to check: studio"]
    assert await db.fetchval("SELECT count(*) FROM held_digest") == 1


async def test_regression_no_lead_joins_a_list_that_may_have_arrived(
    settings: Settings, smtp: SmtpServer, postgres: Postgres, db: Any
) -> None:
    # The mailbox has the first list, and drops another one with the same Message-ID.
    await hold(db, held())
    smtp.then("body", DROP, "451 4.3.0 try later")
    async with digests(postgres, settings) as digest:
        for _ in range(2):
            assert await digest.send_due() == 0
            await hold(db, held())
            await db.execute("UPDATE held_digest SET next_attempt_at = now()")
        assert await digest.send_due() == 1
        await db.execute("UPDATE held_digest SET sent_at = sent_at - interval '61 minutes'")
        assert await digest.send_due() == 1
    assert subjects(smtp) == ["1 held lead to check: studio", "2 held leads to check: studio"]
    arrived, again, later = (mail.message["Message-ID"] for mail in [*smtp.lost, *smtp.mails])
    assert arrived == again != later


async def test_regression_each_digest_is_tried_once_in_a_round(
    settings: Settings, smtp: SmtpServer, postgres: Postgres, db: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    # With many sites and a server that hangs, the first digest was due again before the last was tried.
    monkeypatch.setattr("services.notifier.digests.held_digests.RETRY_SECONDS", 0.0)
    smtp.always["data"] = "554 5.6.0 no"
    await hold(db, held())
    async with digests(postgres, settings) as digest:
        assert await asyncio.wait_for(digest.send_due(), 20) == 0
    assert await db.fetchval("SELECT attempts FROM held_digest") == 1


async def test_two_processes_send_each_digest_once(
    settings: Settings, smtp: SmtpServer, postgres: Postgres, db: Any
) -> None:
    for _ in range(20):
        await hold(db, held())
    async with digests(postgres, settings) as one, digests(postgres, settings) as two:
        sent = await asyncio.gather(*(each.send_due() for each in (one, two) * 3))
    assert (sum(sent), subjects(smtp)) == (1, ["20 held leads to check: studio"])


async def test_the_digest_omits_spam_and_erased_leads_not_released_ones(
    settings: Settings, smtp: SmtpServer, postgres: Postgres, db: Any
) -> None:
    for status in ("held", "received", "spam", "erased"):
        await hold(db, held(), status)
    async with digests(postgres, settings) as digest:
        assert await digest.send_due() == 1
    assert subjects(smtp) == ["2 held leads to check: studio"]
    assert smtp.mails[0].text().count("released since") == 1  # the one that is received by now


async def test_a_lead_that_is_not_stored_yet_comes_into_a_later_digest(
    settings: Settings, smtp: SmtpServer, postgres: Postgres, db: Any
) -> None:
    early = held()
    await db.execute("INSERT INTO held_lead (lead_id, site) VALUES ($1, 'studio')", early.lead_id)
    async with digests(postgres, settings) as digest:
        assert await digest.send_due() == 0
        await store_lead(db, early, "held")
        assert await digest.send_due() == 1
    assert subjects(smtp) == ["1 held lead to check: studio"]


async def test_a_bug_in_one_digest_does_not_stop_the_others(
    settings: Settings, smtp: SmtpServer, postgres: Postgres, db: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise KeyError("a bug")

    await hold(db, held())
    module = "services.notifier.digests.held_digests.compose_held_digest"
    async with digests(postgres, settings) as digest:
        with monkeypatch.context() as patched:
            patched.setattr(module, broken)
            assert await digest.send_due() == 0
        assert await db.fetchval("SELECT reason FROM held_digest") == "bug: KeyError"
        await db.execute("UPDATE held_digest SET next_attempt_at = now()")
        assert await digest.send_due() == 1
    assert len(smtp.mails) == 1


async def test_an_idle_poll_opens_no_transaction(
    settings: Settings, postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with digests(postgres, settings) as idle:
        monkeypatch.delattr("services.notifier.digests.held_digests.transaction")
        assert await idle.send_due() == 0
