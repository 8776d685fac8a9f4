"""Whatever happens to a canary, the leads beside it are stored at once, and once."""

from typing import Any

import pytest

from contracts import topics
from runtime.settings import Kafka, Postgres
from tests.support.factories import lead, post, records_of
from tests.support.mail.smtp import HANG, smtp_server
from tests.support.services.canaries import add_canary, post_canaries, results_of
from tests.support.services.notifier import notifier, notifier_settings, smtp_settings
from tests.support.services.persister import count_records, ledger_sums, persister
from tests.support.wait import eventually

REFUSE = """
    CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = '{sqlstate}'; END $$;
    CREATE {kind} TRIGGER refuse AFTER INSERT ON lead_inbox {deferred} FOR EACH ROW
        WHEN (NEW.name = 'FASTCore Canary') EXECUTE FUNCTION refuse();
"""
LEADS = 20


async def stored(db: Any) -> int:
    return int(await db.fetchval("SELECT count(*) FROM lead_inbox"))


# Such an answer about a lead blames the server: the persister pauses, and stores the batch again.
@pytest.mark.parametrize("sqlstate", ["40001", "57P01"])
async def test_a_server_that_fails_at_a_canary_delays_no_lead(
    kafka: Kafka, postgres: Postgres, db: Any, sqlstate: str
) -> None:
    await db.execute(REFUSE.format(kind="", deferred="", sqlstate=sqlstate))
    sent = await add_canary(db)
    await post_canaries(kafka, sent)
    await post(kafka, *(lead() for _ in range(LEADS)))  # read in one batch with the canary
    async with persister(kafka, postgres):
        await eventually(lambda: stored(db), until=lambda n: n == LEADS, seconds=30)
        assert sqlstate in (await results_of(db, sent.lead_id, 2))["postgresql"]
        await eventually(lambda: count_records(db), until=lambda n: n == LEADS + 1)
    sums = await ledger_sums(db)
    assert (sums["stored"], sums["canary"], sums["parked"], sums["duplicate"]) == (LEADS, 1, 0, 0)
    assert await records_of(kafka, topics.FAILED.name) == []


async def test_locked_tables_of_canaries_hold_up_no_lead(kafka: Kafka, postgres: Postgres, db: Any) -> None:
    canaries = [await add_canary(db) for _ in range(8)]
    await post_canaries(kafka, *canaries)
    async with db.transaction():
        await db.execute("LOCK TABLE canary_result, canary")
        async with persister(kafka, postgres):
            for number in (1, 2):  # the second batch finds the canaries of the first one waiting
                await post(kafka, *(lead() for _ in range(LEADS)))
                expected = number * LEADS
                await eventually(lambda: stored(db), until=expected.__eq__, seconds=15)
        assert not await db.fetchval("SELECT EXISTS (SELECT FROM canary_result)")


async def test_what_fails_at_a_commit_only_names_postgresql(
    kafka: Kafka, postgres: Postgres, db: Any
) -> None:
    deferred = "DEFERRABLE INITIALLY DEFERRED"
    await db.execute(REFUSE.format(kind="CONSTRAINT", deferred=deferred, sqlstate="23514"))
    sent = await add_canary(db)
    await post_canaries(kafka, sent)
    async with persister(kafka, postgres):
        assert "23514" in (await results_of(db, sent.lead_id, 2))["postgresql"]


async def test_a_hanging_mail_server_is_no_fault_of_the_notifier(
    kafka: Kafka, postgres: Postgres, db: Any
) -> None:
    """As with many sites: the canaries that wait for the mail server say that the notifier works."""
    canaries = [await add_canary(db) for _ in range(24)]

    async def composed() -> int:
        return int(await db.fetchval("SELECT count(*) FROM canary_result WHERE hop = 'notifier' AND ok"))

    async with smtp_server() as smtp, notifier(notifier_settings(kafka, postgres, smtp_settings(smtp))):
        smtp.always["rcpt"] = HANG
        await post_canaries(kafka, *canaries)
        # Less than the time that a canary waits for the mail server.
        await eventually(composed, until=lambda n: n == len(canaries), seconds=20)
