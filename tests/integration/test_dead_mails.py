"""A mail whose queue row died is dead, too: the stores of flusher and notifier on a real database."""

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
from runtime.database.postgres import open_pool
from runtime.settings import Postgres
from services.flusher.failed_record import read
from services.flusher.retries.retry_rules import Outgoing
from services.flusher.store import Store as Queue
from services.notifier import batch_plan
from services.notifier.batch_plan import Delivery
from services.notifier.mail.message import Identity
from services.notifier.smtp.outcome import Outcome, Phase, Verdict
from services.notifier.store import Store as Mails
from tests.support.factories import lead
from tests.support.flusher import OWN, Clock, NoBooks, Record, failure
from tests.support.stack import Database
from tests.unit.notifier.test_plan import FakeRecord

IDENTITY = Identity("hello@fast.example", "FAST", ("boss@fast.example",))
REFUSED = Outcome(Verdict.WAITING, "smtp 451 4.7.1 at rcpt", Phase.RCPT, 451, "4.7.1", "4.7.1 later")


def _record(which: LeadReceived, offset: int) -> Any:
    return Record(
        "leads.received.v1", offset, str(which.lead_id).encode(), which.model_dump_json().encode(), ()
    )


async def _in_hand(mails: Mails, which: LeadReceived) -> Delivery:
    """The welcome of a lead, reserved."""
    records = [_record(which, 1)]
    arranged = await mails.reserve(batch_plan.read(records), records, ())
    return next(each for each in arranged.to_send if each.kind == "welcome")


async def _no_letters(_: Sequence[Outgoing]) -> None: ...


async def _third_retry_failed(queue: Queue, db: Any, which: LeadReceived, failure_id: UUID) -> None:
    """The queue row has had its three retries, and now the notifier says that the last one failed."""
    record = _record(which, 2)
    first = failure(reason=REFUSED.reason)
    record.headers = tuple(first.to_headers(OWN))
    await queue.take([read(record, "g")], _no_letters)
    await db.execute("UPDATE replay_queue SET state = 'replaying', attempts = 3, next_attempt_at = now()")
    record.headers = tuple(failure(event_id=failure_id, reason=REFUSED.reason, attempts=3).to_headers(OWN))
    await queue.take([read(record, "g")], _no_letters)
    assert await db.fetchval("SELECT state FROM replay_queue") == "dead"


async def _settled(db: Any) -> tuple[str, int]:
    """The welcome's state, and how many entries say that it has failed for good."""
    state = await db.fetchval("SELECT state FROM email_delivery WHERE kind = 'welcome'")
    final = await db.fetchval(
        "SELECT count(*) FROM audit_log WHERE event = 'email.failed' AND details_json->>'final' = 'true'"
    )
    return state, final


async def test_regression_a_mail_whose_third_retry_failed_is_dead(postgres: Postgres, db: Any) -> None:
    which = lead()
    async with open_pool(postgres, "test") as pool:
        mails = Mails(pool, NoBooks(), uuid4(), IDENTITY, lease_seconds=50, limit=3, site_limit=9)
        delivery = await _in_hand(mails, which)
        assert await mails.settle(delivery, REFUSED)
        await _third_retry_failed(Queue(pool, NoBooks(), Clock()), db, which, delivery.record_id)
    assert await _settled(db) == ("dead", 1)
    assert await db.fetchval("SELECT state FROM email_delivery WHERE kind = 'admin_alert'") == "reserved"


@pytest.mark.parametrize("begun", [False, True])
async def test_regression_a_mail_is_dead_though_its_failure_overtook_its_outcome(
    postgres: Postgres, db: Any, begun: bool
) -> None:
    # The notifier publishes the failure before it commits the outcome, and the flusher may be quicker.
    which = lead()
    async with open_pool(postgres, "test") as pool:
        mails = Mails(pool, NoBooks(), uuid4(), IDENTITY, lease_seconds=50, limit=3, site_limit=9)
        delivery = await _in_hand(mails, which)
        if begun:
            await mails.begin_sending(delivery)
        await _third_retry_failed(Queue(pool, NoBooks(), Clock()), db, which, delivery.record_id)
        assert await mails.settle(delivery, REFUSED)
    assert await _settled(db) == ("dead", 1)
    answer = await db.fetchval("SELECT smtp_answer FROM email_delivery WHERE kind = 'welcome'")
    assert answer == "4.7.1 later"


async def test_another_failure_does_not_decide_over_a_mail_in_hand(postgres: Postgres, db: Any) -> None:
    which = lead()
    async with open_pool(postgres, "test") as pool:
        mails = Mails(pool, NoBooks(), uuid4(), IDENTITY, lease_seconds=50, limit=3, site_limit=9)
        delivery = await _in_hand(mails, which)
        earlier = failure_event_id(FakeRecord("leads.retry.notifier.v1"), "notifier", "welcome")
        await _third_retry_failed(Queue(pool, NoBooks(), Clock()), db, which, earlier)
        assert await mails.settle(delivery, REFUSED)
    assert (await _settled(db))[0] == "waiting"


async def test_the_migration_repairs_mails_that_were_left_waiting(
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


async def test_an_erased_recipient_takes_its_mailbox_with_it(postgres: Postgres, db: Any) -> None:
    async with open_pool(postgres, "test") as pool:
        mails = Mails(pool, NoBooks(), uuid4(), IDENTITY, lease_seconds=50, limit=3, site_limit=9)
        await _in_hand(mails, lead(email="ada+x@example.com"))
    await db.execute("UPDATE email_delivery SET mailbox = recipient")
    await db.execute("UPDATE email_delivery SET recipient = NULL")
    assert await db.fetchval("SELECT count(*) FROM email_delivery WHERE mailbox IS NOT NULL") == 0
