"""The counts that triggers keep are the rows, in every snapshot, whoever writes and however it ends."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from runtime.database.postgres import open_pool
from runtime.settings import Postgres
from services.admin.monitoring.queue_counts import _SQL, count_queue, find_wrong_counts
from tests.support.stack import Database

INSERT_LEADS = """
    INSERT INTO lead_inbox (id, request_id, site, email, service, status, name, message, body_sha256,
                            created_at_utc)
    SELECT gen_random_uuid(), 'r', 'site', 'a@example.com', 's', $2, 'A', 'hello', repeat('0', 64), now()
    FROM generate_series(1, $1::int)
    ON CONFLICT DO NOTHING
"""
INSERT_MAILS = """
    INSERT INTO email_delivery (lead_id, kind, state, message_id)
    SELECT id, kind, 'waiting', 'm' FROM lead_inbox, unnest('{welcome,admin_alert}'::text[]) AS kind
    ON CONFLICT DO NOTHING
"""
# With its ON CONFLICT it inserts one row and updates the other, in one statement.
UPSERT_QUEUE = """
    INSERT INTO replay_queue (id, stage, kind, lead_id, state, reason, error, next_attempt_at, origin_topic,
                              origin_partition, origin_offset, origin_timestamp, origin_group, payload,
                              made_by, first_failed_at, last_failed_at)
    SELECT gen_random_uuid(), 'notifier', kind, id, 'waiting', 'r', 'E', now(), 't', 0, 0, now(), 'g', 'x',
           'admin', now(), now()
    FROM (SELECT id FROM lead_inbox ORDER BY id LIMIT 1) AS lead, unnest($1::text[]) AS kind
    ON CONFLICT (stage, lead_id, kind) WHERE lead_id IS NOT NULL AND NOT by_origin DO UPDATE
    SET state = 'waiting', payload = 'x', next_attempt_at = now()
"""


INSERT_EVENTS = """
    WITH events AS (
        INSERT INTO webhook_event (id, type, lead_id, site, occurred_at, body, delivery_count)
        SELECT gen_random_uuid(), 'lead.received', id, site, now(), '{}', 2 FROM lead_inbox
        RETURNING id, lead_id, position)
    INSERT INTO webhook_delivery (event_id, destination, lead_id, position)
    SELECT id, destination, lead_id, position FROM events, unnest('{crm,chat}'::text[]) AS destination
"""


@pytest.fixture
async def service(database: Database) -> AsyncIterator[Any]:
    """A connection as the services have it."""
    connection = await asyncpg.connect(database.service)
    yield connection
    await connection.close()


async def counts(connection: Any, table: str) -> dict[str, int]:
    rows = await connection.fetch(_SQL.count_rows.sql)
    return {row["state"]: row["rows"] for row in rows if row["table_name"] == table}


async def agree(connection: Any) -> bool:
    return not await connection.fetch(_SQL.recount_rows.sql)


async def test_inserts_and_changes_of_every_kind_are_counted(service: Any, db: Any) -> None:
    await service.execute(INSERT_LEADS, 500, "received")
    await service.execute(INSERT_LEADS, 20, "spam")
    await service.execute(INSERT_MAILS)
    await service.execute(INSERT_MAILS)  # a redelivery inserts nothing
    await service.execute(UPSERT_QUEUE, ["welcome"])
    await service.execute(
        "UPDATE replay_queue SET state = 'resolved', payload = NULL, next_attempt_at = NULL"
    )
    await service.execute(UPSERT_QUEUE, ["welcome", "admin_alert"])
    await service.execute(
        "UPDATE lead_inbox SET status = CASE status WHEN 'spam' THEN 'received' ELSE 'erased' END"
        " WHERE id IN (SELECT id FROM lead_inbox ORDER BY status DESC, id LIMIT 30)"
    )
    await service.execute("UPDATE email_delivery SET state = 'sent', sent_at = now() WHERE kind = 'welcome'")
    assert await counts(service, "lead_inbox") == {"received": 510, "erased": 10}
    assert await counts(service, "email_delivery") == {"waiting": 520, "sent": 520}
    assert await counts(service, "replay_queue") == {"waiting": 2}
    await db.execute("DELETE FROM lead_inbox WHERE status = 'erased'")
    assert await counts(service, "lead_inbox") == {"received": 510}
    assert await agree(service)


async def test_deliveries_and_the_outbox_are_counted(service: Any, db: Any, postgres: Postgres) -> None:
    await service.execute(INSERT_LEADS, 60, "received")
    await service.execute(INSERT_EVENTS)
    waiting = "UPDATE webhook_delivery SET state = 'sending', lease_until = now() + interval '1 minute'"
    before = await service.fetchval("SELECT count(*) FROM row_count")
    await service.execute(waiting)  # a claim
    assert await service.fetchval("SELECT count(*) FROM row_count") == before
    await service.execute("UPDATE webhook_delivery SET state = 'delivered' WHERE destination = 'crm'")
    await service.execute("SELECT erase_lead(id, 'ann') FROM lead_inbox ORDER BY id LIMIT 1")
    assert await counts(service, "webhook_delivery") == {"delivered": 60, "waiting": 60}
    assert await counts(service, "webhook_event") == {"wanted": 120}
    await service.execute("UPDATE lead_inbox SET status = 'won' WHERE status = 'received'")
    await service.execute(
        "DELETE FROM lead_event_outbox WHERE position IN (SELECT position FROM lead_event_outbox LIMIT 9)"
    )
    assert await counts(service, "lead_event_outbox") == {"written": 59, "published": -9}
    assert await agree(service)
    async with open_pool(postgres, "test") as pool:
        books = (await count_queue(pool)).books
        changes = next(each for each in books.identities if each.name == "changes")
        assert (changes.books, changes.rows) == (59, 59)
        assert books.delivery_states == {"delivered": 60, "waiting": 60}
        await db.execute("DELETE FROM webhook_delivery WHERE state = 'delivered' AND position = 1")
        after = (await count_queue(pool)).books
    wrong = [{one.name for one in each.identities if not one.balanced} for each in (books, after)]
    assert wrong == [{"leads"}, {"leads", "deliveries"}]  # no record has brought these leads
    await db.execute("SELECT recount_rows()")
    assert await agree(service)


async def test_an_erasure_is_counted_and_its_tombstone_is_not(service: Any, postgres: Postgres) -> None:
    await service.execute(INSERT_LEADS, 2, "received")
    await service.execute(INSERT_MAILS)
    await service.execute("SELECT erase_lead(id, 'ann') FROM lead_inbox LIMIT 1")
    never_stored = (
        "INSERT INTO email_delivery (lead_id, kind, state, message_id) VALUES ($1, 'welcome', 'waiting', 'm')"
    )
    await service.execute(never_stored, UUID(int=7))
    await service.execute("SELECT erase_lead($1, 'ann')", UUID(int=7))
    assert await agree(service)
    assert (
        sum(
            row["rows"]
            for row in await service.fetch(_SQL.count_rows.sql)
            if row["table_name"] == "lead_inbox"
        )
        == 3
    )
    assert await counts(service, "email_delivery") == {"waiting": 2, "suppressed": 3}
    async with open_pool(postgres, "test") as pool:
        assert (await count_queue(pool)).books.identities[0].rows == 2


async def test_a_change_that_leaves_the_state_alone_writes_no_count(service: Any) -> None:
    await service.execute(INSERT_LEADS, 3, "received")
    before = await service.fetchval("SELECT count(*) FROM row_count")
    await service.execute("UPDATE lead_inbox SET notes = 'called back'")
    await service.execute("UPDATE lead_inbox SET status = 'won' WHERE false")
    assert await service.fetchval("SELECT count(*) FROM row_count") == before


async def test_what_is_rolled_back_is_not_counted(service: Any) -> None:
    await service.execute(INSERT_LEADS, 3, "received")
    outer = service.transaction()
    await outer.start()
    await service.execute(INSERT_LEADS, 5, "spam")
    inner = service.transaction()
    await inner.start()
    await service.execute(INSERT_LEADS, 7, "received")
    await inner.rollback()  # to a savepoint
    assert await counts(service, "lead_inbox") == {"received": 3, "spam": 5}
    await outer.rollback()
    assert await counts(service, "lead_inbox") == {"received": 3}
    assert await agree(service)


async def test_open_transactions_wait_for_nobody_and_count_when_they_commit(
    service: Any, database: Database
) -> None:
    other = await asyncpg.connect(database.service, command_timeout=5)
    held = service.transaction()
    await held.start()
    await service.execute(INSERT_LEADS, 2, "received")
    await other.execute(INSERT_LEADS, 40, "received")  # the first one is still open
    assert await counts(other, "lead_inbox") == {"received": 40}
    assert await agree(other)
    await held.commit()
    assert await counts(other, "lead_inbox") == {"received": 42}
    await other.close()


async def test_in_every_snapshot_under_load_the_counts_are_the_rows(
    service: Any, database: Database, postgres: Postgres
) -> None:
    """Many writers, among them ones that roll back, while the counts are folded a dozen times."""

    async def write(number: int) -> None:
        connection = await asyncpg.connect(database.service, command_timeout=20)
        for turn in range(80):
            change = connection.transaction()
            await change.start()
            await connection.execute(INSERT_LEADS, 3, "received")
            await connection.execute(
                "UPDATE lead_inbox SET status = 'processing' WHERE id IN"
                " (SELECT id FROM lead_inbox WHERE status = 'received' ORDER BY id LIMIT 2"
                "  FOR UPDATE SKIP LOCKED)"
            )
            await (change.rollback() if (turn + number) % 5 == 0 else change.commit())
        await connection.close()

    writers = asyncio.gather(*(write(number) for number in range(6)))
    looked = 0
    while not writers.done():
        assert await agree(service)
        looked += 1
        await asyncio.sleep(0)
    await writers
    assert looked > 10
    assert sum((await counts(service, "lead_inbox")).values()) == 6 * 64 * 3
    assert await agree(service)
    assert await service.fetchval("SELECT count(*) FROM row_count") < 250  # folded, not grown: 768 changes
    async with open_pool(postgres, "test") as pool:
        assert (await count_queue(pool)).books.identities[0].rows == 6 * 64 * 3


async def test_rows_that_came_past_the_triggers_are_named_and_counted_anew(
    db: Any, service: Any, postgres: Postgres
) -> None:
    await db.execute("ALTER TABLE lead_inbox DISABLE TRIGGER USER")
    await service.execute(INSERT_LEADS, 3, "won")
    async with open_pool(postgres, "test") as pool:
        assert await find_wrong_counts(pool) == ["lead_inbox won: +3"]
        await db.execute("SELECT recount_rows()")
        assert await find_wrong_counts(pool) == []


async def test_the_services_role_can_write_no_count_itself(service: Any) -> None:
    for statement in (
        "INSERT INTO row_count VALUES ('lead_inbox', NULL, 'won', NULL, 1)",
        "SELECT recount_rows()",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await service.execute(statement)
