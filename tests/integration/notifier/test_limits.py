"""Rate limits, refusals of our sender and slow servers: no mail is lost or dead."""

import asyncio
import math
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from prometheus_client import REGISTRY

from contracts import topics
from runtime.settings import Kafka, Postgres
from services.notifier.smtp import mailer
from tests.support.factories import lead, post, records_of
from tests.support.mail.smtp import SmtpServer, smtp_server
from tests.support.services.notifier import (
    delivery_states,
    notifier,
    notifier_settings,
    publish_retry,
    readyz,
    smtp_settings,
    wait_for_states,
)
from tests.support.wait import eventually

THROTTLED = "454 Throttling failure: Maximum sending rate exceeded."


class Limit:
    """Accepts `per_second` mails a second, counted as Amazon SES does."""

    def __init__(self, per_second: float, reply: str = THROTTLED) -> None:
        self.per_second, self.reply, self.refused = per_second, reply, 0
        self.tokens, self.seen_at = max(1.0, per_second), time.monotonic()

    def __call__(self) -> str | None:
        now = time.monotonic()
        self.tokens = min(max(1.0, self.per_second), self.tokens + (now - self.seen_at) * self.per_second)
        self.seen_at = now
        if self.tokens < 1:
            self.refused += 1
            return self.reply
        self.tokens -= 1
        return None


async def sent_mails(db: Any) -> int:
    return int(await db.fetchval("SELECT count(*) FROM email_delivery WHERE state = 'sent'"))


async def wait_for_sent(db: Any, mails: int, seconds: float = 60) -> None:
    await eventually(lambda: sent_mails(db), until=mails.__eq__, seconds=seconds, what=f"{mails} mails sent")


async def test_regression_a_rate_limit_slows_the_stage_and_uses_no_retry(
    kafka: Kafka, postgres: Postgres, smtp: SmtpServer, db: Any
) -> None:
    # At 14 mails a second 113 of 400 were dead. The same bucket limits the retries of the flusher.
    smtp.limit = limit = Limit(14)
    leads, again = [lead() for _ in range(30)], [lead(email=f"again-{n}@example.com") for n in range(20)]
    for each in again:
        smtp.then(f"rcpt:{each.email}", "451 4.7.1 greylisted")
    async with notifier(notifier_settings(kafka, postgres, smtp_settings(smtp))) as client:
        await post(kafka, *leads, *again)
        await wait_for_sent(db, 80)
        for each in again:
            await publish_retry(kafka, each, "welcome")
        await wait_for_sent(db, 100)
        assert (await readyz(client))["status"] == "ready"
        assert (REGISTRY.get_sample_value("fastcore_mail_rate_limit_per_second") or 0) < 40
    assert limit.refused > 0
    assert len(smtp.mails) == 100
    assert len(await records_of(kafka, topics.FAILED.name)) == 20  # the greylisted ones


async def test_regression_a_limit_of_one_mail_a_second_loses_no_mail(
    kafka: Kafka, postgres: Postgres, smtp: SmtpServer, db: Any
) -> None:
    smtp.limit = limit = Limit(1.0)
    leads = [lead() for _ in range(3)]
    async with notifier(notifier_settings(kafka, postgres, smtp_settings(smtp))):
        await post(kafka, *leads)
        await wait_for_sent(db, 6)
    assert limit.refused > 0
    assert len(smtp.mails) == 6
    assert await records_of(kafka, topics.FAILED.name) == []


async def test_regression_an_exhausted_quota_pauses_the_stage(
    kafka: Kafka, postgres: Postgres, smtp: SmtpServer, db: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.notifier.sending.pacing.MAX_WAIT_SECONDS", 0.5)
    smtp.always["body"] = "554 5.2.0 STOREDRV.Submission.Exception:SubmissionQuotaExceededException; Failed"
    one = lead()
    async with notifier(notifier_settings(kafka, postgres, smtp_settings(smtp))) as client:
        await post(kafka, one)
        health = await eventually(
            lambda: readyz(client),
            until=lambda h: "rate limit" in h["parts"]["consumer"]["reason"],
            what="red readiness",
        )
        assert health["status"] == "not ready"
        assert set((await delivery_states(db, one)).values()) == {"reserved"}
        smtp.always.clear()
        await wait_for_states(db, one, seconds=30)
    assert await records_of(kafka, topics.FAILED.name) == []


async def test_the_configured_maximum_rate_is_respected(
    kafka: Kafka, postgres: Postgres, smtp: SmtpServer, db: Any
) -> None:
    leads = [lead() for _ in range(10)]
    began = math.inf
    async with notifier(notifier_settings(kafka, postgres, smtp_settings(smtp), mails_per_second=10)):
        began = time.monotonic()
        await post(kafka, *leads)
        await wait_for_sent(db, 20)
    assert time.monotonic() - began >= 1.9


async def test_a_rate_limit_of_one_mail_does_not_slow_the_others_for_ever(
    kafka: Kafka, postgres: Postgres, smtp: SmtpServer, db: Any
) -> None:
    bad, good = lead(), [lead() for _ in range(5)]
    smtp.always[f"rcpt:{bad.email}"] = "450 4.7.1 rate limit of this mailbox"
    async with notifier(notifier_settings(kafka, postgres, smtp_settings(smtp))):
        await post(kafka, bad, *good)
        for each in good:
            await wait_for_states(db, each)
        await wait_for_states(db, bad, "waiting", "sent", seconds=40)


async def test_regression_a_refusal_of_all_recipients_pauses_the_stage(
    kafka: Kafka, postgres: Postgres, smtp: SmtpServer, db: Any
) -> None:
    smtp.always["rcpt"] = "550 5.7.1 we have never heard of you, session 8f2a"
    leads = [lead() for _ in range(20)]
    async with notifier(notifier_settings(kafka, postgres, smtp_settings(smtp))) as client:
        await post(kafka, *leads)
        health = await eventually(
            lambda: readyz(client),
            until=lambda h: "refuses every recipient" in h["parts"]["consumer"]["reason"],
            what="red readiness",
        )
        assert health["status"] == "not ready"
        quoted = '("550 5.7.1 we have never heard of you, session")'
        assert health["parts"]["consumer"]["reason"].endswith(quoted)
        assert health["parts"]["smtp"]["reason"].endswith(quoted)
        dead = await db.fetchval("SELECT count(*) FROM email_delivery WHERE state = 'dead'")
        assert dead <= 3
        smtp.always.clear()
        await wait_for_sent(db, 40 - dead)


@pytest.fixture
async def slow_server() -> AsyncIterator[SmtpServer]:
    """A server that delays each reply before a mail's body by half a second."""

    async def delay() -> None:
        await asyncio.sleep(0.5)

    async with smtp_server(delay=delay) as server:
        yield server


async def test_regression_a_slow_server_is_not_unavailable(
    kafka: Kafka, postgres: Postgres, slow_server: SmtpServer, db: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    # All commands before the body together had 0.1 s: the time of a mail without the time of its reply.
    monkeypatch.setattr(mailer, "SLOW_SECONDS", 0.3)
    quick = notifier_settings(
        kafka,
        postgres,
        smtp_settings(slow_server),
        envelope_timeout_seconds=60.0,
        answer_timeout_seconds=0.9,
        mail_timeout_seconds=1.0,
        lease_seconds=1.5,
    )
    one = lead()
    async with notifier(quick) as client:
        await post(kafka, one)
        await eventually(
            lambda: readyz(client),
            until=lambda h: h["parts"]["smtp"]["reason"].startswith("smtp slow at "),
            what="the slow server in readiness",
        )
        await wait_for_states(db, one, seconds=40)
        assert (await readyz(client))["parts"]["smtp"]["ok"]
    assert len(slow_server.mails) == 2
    assert await records_of(kafka, topics.FAILED.name) == []


async def test_a_stop_does_not_wait_for_the_commands_before_a_body(
    kafka: Kafka, postgres: Postgres, smtp: SmtpServer, db: Any
) -> None:
    smtp.always["rcpt"] = "hang"
    one = lead()
    patient = notifier_settings(kafka, postgres, smtp_settings(smtp), envelope_timeout_seconds=300.0)
    async with notifier(patient):
        await post(kafka, one)
        await eventually(lambda: _commands(smtp, "rcpt"), until=lambda n: n == 2)
        began = time.monotonic()
    assert time.monotonic() - began < 8
    assert set((await delivery_states(db, one)).values()) == {"reserved"}
    assert await db.fetchval("SELECT max(lease_until) <= now() FROM email_delivery")
    smtp.always.clear()
    async with notifier(patient):
        await wait_for_states(db, one)
    assert len(smtp.mails) == 2


async def _commands(smtp: SmtpServer, phase: str) -> int:
    return smtp.seen[phase]
