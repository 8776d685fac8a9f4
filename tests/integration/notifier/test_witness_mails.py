"""Checkpoints of the sealed audit log by email, on a real PostgreSQL and an SMTP server."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from prometheus_client import REGISTRY
from pydantic import ValidationError

from runtime.database.postgres import open_pool
from runtime.health import Health
from runtime.settings import Postgres
from runtime.transparency_log.checkpoint import open_checkpoint
from services.notifier.settings import Audit, Settings
from services.notifier.smtp.mailer import open_mailer
from services.notifier.witnesses.witness_mails import WitnessMails
from tests.support.mail.smtp import Received, SmtpServer
from tests.support.sealed_log import PUBLIC_KEY, add_entries, seal
from tests.support.services.notifier import notifier
from tests.support.wait import eventually

WITNESSES = ("court@example.org", "auditor@example.com")


@asynccontextmanager
async def witness_mails(postgres: Postgres, settings: Settings) -> AsyncIterator[WitnessMails]:
    async with (
        open_pool(postgres, "notifier") as pool,
        open_mailer(settings, Health(), asyncio.Event()) as mailer,
    ):
        yield WitnessMails(pool, mailer, WITNESSES, "0 6 * * *", settings.from_email, "FAST")


async def job(db: Any) -> Any:
    return await db.fetchrow(
        "SELECT last_outcome, last_details, next_run_at - now() < interval '24 hours' AS within_a_day,"
        " next_run_at - now() < interval '6 minutes' AS soon FROM scheduled_job WHERE name = 'audit_witness'"
    )


def checkpoint_of(mail: Received) -> bytes:
    [part] = mail.message.iter_attachments()
    data = part.get_payload(decode=True)
    assert isinstance(data, bytes)
    return data


async def test_each_witness_gets_the_checkpoint_once_a_day(
    postgres: Postgres, settings: Settings, smtp: SmtpServer, db: Any
) -> None:
    async with witness_mails(postgres, settings) as mails:
        assert not await mails.send_due()  # not sealed
        assert await job(db) is None
        await add_entries(db, 3)
        await seal(postgres)
        assert await mails.send_due()
        assert not await mails.send_due()  # not due
        assert sorted(mail.recipients[0] for mail in smtp.mails) == sorted(WITNESSES)
        note = await db.fetchval("SELECT note FROM audit_checkpoint")
        for mail in smtp.mails:
            assert checkpoint_of(mail).decode() == note
            assert open_checkpoint(checkpoint_of(mail).decode(), [PUBLIC_KEY]).size == 3
            assert "3 entries" in str(mail.message["Subject"])
        found = await job(db)
        assert (found["last_outcome"], found["within_a_day"]) == ("succeeded", True)
        assert found["last_details"] == {"entries": 3, "witnesses": 2}
        await db.execute("UPDATE scheduled_job SET requested_at = now()")  # Run now
        assert await mails.send_due()
        assert len(smtp.mails) == 4
        await db.execute("UPDATE scheduled_job SET next_run_at = now()")
        assert await mails.send_due()
        assert len(smtp.mails) == 6


async def test_only_a_refused_witness_gets_it_again(
    postgres: Postgres, settings: Settings, smtp: SmtpServer, db: Any
) -> None:
    await add_entries(db, 3)
    await seal(postgres)
    smtp.always["rcpt:court@example.org"] = "550 5.1.1 unknown"
    async with witness_mails(postgres, settings) as mails:
        assert not await mails.send_due()
        assert REGISTRY.get_sample_value("fastcore_audit_witnesses_missing") == 1
        found = await job(db)
        assert (found["last_outcome"], found["last_details"]["witnesses"]) == ("failed", 1)
        reason = found["last_details"]["reason"]
        assert reason.startswith("1 witnesses did not get the checkpoint")
        assert "court@" not in reason
        assert [mail.recipients for mail in smtp.mails] == [["auditor@example.com"]]
        assert (await seal(postgres)).reason is None  # the seal does not wait for it
        del smtp.always["rcpt:court@example.org"]
        await db.execute("UPDATE scheduled_job SET next_run_at = now()")
        assert await mails.send_due()
    assert [mail.recipients for mail in smtp.mails] == [["auditor@example.com"], ["court@example.org"]]
    assert REGISTRY.get_sample_value("fastcore_audit_witnesses_missing") == 0


async def test_an_unavailable_mail_server_is_tried_again_soon(
    postgres: Postgres, settings: Settings, smtp: SmtpServer, db: Any
) -> None:
    await add_entries(db, 3)
    await seal(postgres)
    smtp.always["mail"] = "421 4.3.2 shutting down"
    async with witness_mails(postgres, settings) as mails:
        assert not await mails.send_due()
        assert REGISTRY.get_sample_value("fastcore_audit_witnesses_missing") == 2
        found = await job(db)
        assert (found["last_outcome"], found["soon"]) == ("failed", True)
        del smtp.always["mail"]
        await db.execute("UPDATE scheduled_job SET next_run_at = now()")
        assert await mails.send_due()
    assert len(smtp.mails) == 2


async def test_two_notifiers_send_it_once(
    postgres: Postgres, settings: Settings, smtp: SmtpServer, db: Any
) -> None:
    await add_entries(db, 3)
    await seal(postgres)
    async with witness_mails(postgres, settings) as one, witness_mails(postgres, settings) as other:
        assert sorted(await asyncio.gather(one.send_due(), other.send_due())) == [False, True]
    assert len(smtp.mails) == 2


async def test_the_notifier_sends_it_to_the_witnesses_of_its_settings(
    postgres: Postgres, settings: Settings, smtp: SmtpServer, db: Any
) -> None:
    await add_entries(db, 3)
    await seal(postgres)
    configured = settings.model_copy(update={"audit": Audit(witnesses=" court@example.org , b@example.com")})

    async def count() -> int:
        return len(smtp.mails)

    async with notifier(configured):
        await eventually(count, until=lambda sent: sent == 2)


def test_a_wrong_address_or_schedule_is_refused() -> None:
    assert Audit().addresses == ()
    for values in ({"witnesses": "nobody"}, {"witness_schedule": "daily"}):
        with pytest.raises(ValidationError):
            Audit.model_validate(values)
