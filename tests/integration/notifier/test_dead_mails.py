"""A mail is dead once its replay-queue row is dead: both stores on a real database."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from contracts.failures import failure_event_id
from contracts.leads import LeadReceived
from deploy.cli import migrate as runner
from deploy.cli.migrate import migrate
from runtime.database.erasure import erase_lead
from runtime.database.postgres import Pool, open_pool, transaction
from runtime.settings import Postgres
from services.flusher.failed_record import decode_failure
from services.flusher.retries.retry_rules import OutgoingRecord
from services.flusher.store import Store as Queue
from services.notifier.deliveries import Delivery, decode_batch
from services.notifier.smtp.outcome import MailOutcome, MailStatus, Phase
from services.notifier.store import Store as Mails
from tests.support.factories import lead
from tests.support.services.flusher import OWN, Clock, NoSeekLedger, Record, failure
from tests.support.services.notifier import IDENTITIES, FakeRecord
from tests.support.stack import Database

REFUSED = MailOutcome(MailStatus.WAITING, "smtp 451 4.7.1 at rcpt", Phase.RCPT, 451, "4.7.1", "4.7.1 later")


def _record(one: LeadReceived, offset: int) -> Any:
    return Record("leads.received.v1", offset, str(one.lead_id).encode(), one.model_dump_json().encode(), ())


async def _reserve_welcome(mails: Mails, one: LeadReceived) -> Delivery:
    """Reserve the mails of a lead; return its welcome."""
    records = [_record(one, 1)]
    plan = await mails.reserve(decode_batch(records), records, ())
    return next(each for each in plan.to_send if each.kind == "welcome")


async def _send_no_dead_letters(_: Sequence[OutgoingRecord]) -> None: ...


async def _third_retry_failed(queue: Queue, db: Any, one: LeadReceived, failure_id: UUID) -> None:
    """Let the flusher store the failure of the third retry."""
    record = _record(one, 2)
    first = failure(reason=REFUSED.reason)
    record.headers = tuple(first.to_headers(OWN))
    await queue.store_failures([decode_failure(record, "g")], _send_no_dead_letters)
    await db.execute("UPDATE replay_queue SET state = 'replaying', attempts = 3, next_attempt_at = now()")
    record.headers = tuple(failure(event_id=failure_id, reason=REFUSED.reason, attempts=3).to_headers(OWN))
    await queue.store_failures([decode_failure(record, "g")], _send_no_dead_letters)
    assert await db.fetchval("SELECT state FROM replay_queue") == "dead"


async def _state_and_final_entries(db: Any) -> tuple[str, int]:
    """Return the welcome's state, and the number of its final audit entries."""
    state = await db.fetchval("SELECT state FROM email_delivery WHERE kind = 'welcome'")
    final = await db.fetchval(
        "SELECT count(*) FROM audit_log WHERE event = 'email.failed' AND details_json->>'final' = 'true'"
    )
    return state, final


def _store(pool: Pool) -> Mails:
    return Mails(
        pool,
        NoSeekLedger(),
        uuid4(),
        IDENTITIES,
        lease_seconds=50,
        welcomes_per_day=3,
        welcomes_per_site_and_hour=9,
    )


async def test_regression_a_mail_whose_third_retry_failed_is_dead(postgres: Postgres, db: Any) -> None:
    one = lead()
    async with open_pool(postgres, "test") as pool:
        mails = _store(pool)
        delivery = await _reserve_welcome(mails, one)
        assert await mails.write_outcome(delivery, REFUSED)
        await _third_retry_failed(Queue(pool, NoSeekLedger(), Clock()), db, one, delivery.record_id)
    assert await _state_and_final_entries(db) == ("dead", 1)
    assert await db.fetchval("SELECT state FROM email_delivery WHERE kind = 'admin_alert'") == "reserved"


@pytest.mark.parametrize("sending", [False, True])
async def test_regression_a_mail_is_dead_if_its_failure_precedes_its_outcome(
    postgres: Postgres, db: Any, sending: bool
) -> None:
    # The notifier publishes the failure before it commits the outcome, and the flusher may read it first.
    one = lead()
    async with open_pool(postgres, "test") as pool:
        mails = _store(pool)
        delivery = await _reserve_welcome(mails, one)
        if sending:
            await mails.begin_sending(delivery)
        await _third_retry_failed(Queue(pool, NoSeekLedger(), Clock()), db, one, delivery.record_id)
        assert await mails.write_outcome(delivery, REFUSED)
    assert await _state_and_final_entries(db) == ("dead", 1)
    answer = await db.fetchval("SELECT smtp_answer FROM email_delivery WHERE kind = 'welcome'")
    assert answer == "4.7.1 later"


async def test_a_mail_whose_lead_is_erased_while_it_is_sent_is_suppressed(
    postgres: Postgres, db: Any
) -> None:
    one = lead()
    async with open_pool(postgres, "test") as pool:
        mails = _store(pool)
        delivery = await _reserve_welcome(mails, one)
        await mails.begin_sending(delivery)
        async with transaction(pool) as connection:
            assert await erase_lead(connection, one.lead_id, "ann")
        assert await mails.write_outcome(delivery, REFUSED) == "suppressed"
    columns = "event, details_json->>'reason'"
    entry = await db.fetchrow(f"SELECT {columns} FROM audit_log WHERE actor = 'notifier'")
    assert tuple(entry) == ("email.suppressed", "erased")
    stored = await db.fetchrow("SELECT state, reason FROM email_delivery WHERE kind = 'welcome'")
    assert tuple(stored) == ("suppressed", "erased")


async def test_a_failure_of_another_record_leaves_a_reserved_mail_unchanged(
    postgres: Postgres, db: Any
) -> None:
    one = lead()
    async with open_pool(postgres, "test") as pool:
        mails = _store(pool)
        delivery = await _reserve_welcome(mails, one)
        earlier = failure_event_id(FakeRecord("leads.retry.notifier.v1"), "notifier", "welcome")
        await _third_retry_failed(Queue(pool, NoSeekLedger(), Clock()), db, one, earlier)
        assert await mails.write_outcome(delivery, REFUSED)
    assert (await _state_and_final_entries(db))[0] == "waiting"


async def test_the_migration_repairs_mails_that_stayed_waiting(
    database: Database, db: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (migration,) = runner.MIGRATIONS.glob("0010_*.sql")
    repair = (
        "UPDATE email_delivery AS mail" + migration.read_text().partition("UPDATE email_delivery AS mail")[2]
    )
    shutil.copytree(runner.MIGRATIONS, tmp_path, dirs_exist_ok=True)
    (tmp_path / "9999_repair.sql").write_text(repair)
    ids = [uuid4() for _ in range(3)]
    for each, mail, row in zip(ids, ("waiting", "waiting", "sent"), ("dead", "waiting", "dead"), strict=True):
        await db.execute(
            "INSERT INTO email_delivery (lead_id, kind, state, message_id) VALUES ($1, 'welcome', $2, '')",
            each,
            mail,
        )
        await db.execute(
            "INSERT INTO replay_queue (id, stage, kind, lead_id, state, reason, error, origin_topic,"
            " origin_partition, origin_offset, origin_timestamp, origin_group, payload, first_failed_at,"
            " last_failed_at, next_attempt_at)"
            " VALUES ($1, 'notifier', 'welcome', $2, $3, 'r', 'e', 't', 0, 0, now(), 'g', '\\x00', now(),"
            " now(), CASE WHEN $3 = 'waiting' THEN now() END)",
            uuid4(),
            each,
            row,
        )
    monkeypatch.setattr(runner, "MIGRATIONS", tmp_path)
    assert await migrate(database.owner, database.service) == ["9999_repair.sql"]
    states = {
        row["lead_id"]: row["state"] for row in await db.fetch("SELECT lead_id, state FROM email_delivery")
    }
    assert states == dict(zip(ids, ("dead", "waiting", "sent"), strict=True))


async def test_erasing_a_recipient_erases_its_mailbox(postgres: Postgres, db: Any) -> None:
    async with open_pool(postgres, "test") as pool:
        mails = _store(pool)
        await _reserve_welcome(mails, lead(email="ada+x@example.com"))
    await db.execute("UPDATE email_delivery SET mailbox = recipient")
    await db.execute("UPDATE email_delivery SET recipient = NULL")
    assert await db.fetchval("SELECT count(*) FROM email_delivery WHERE mailbox IS NOT NULL") == 0
