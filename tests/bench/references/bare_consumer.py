"""`python -m tests.bench.references.bare_consumer`: the smallest consumer that stores leads.

For each batch it inserts both rows, then commits the transaction and the offsets. It has no ledger, no
check for duplicates and no error handling. It reads what the bare gateway publishes.
"""

import asyncio
import os
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import asyncpg
import uvloop
from aiokafka import AIOKafkaConsumer
from uuid_utils.compat import uuid7

from contracts.leads import LeadSubmission

INSERT_LEADS = """
    INSERT INTO lead_inbox (id, request_id, site, email, service, status, name, message, extra, body_sha256,
                            created_at_utc)
    SELECT id, id::text, 'default', email, service, 'received', name, message, '{}', repeat('0', 64), at
    FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::timestamptz[])
        AS lead (id, email, service, name, message, at)"""
INSERT_ENTRIES = """
    INSERT INTO audit_log (event_id, event, actor, status_code, details_json, lead_id, request_id,
                           created_at_utc)
    SELECT event_id, 'lead.received', 'default', 201, '{}', id, id::text, at
    FROM unnest($1::uuid[], $2::uuid[], $3::timestamptz[]) AS entry (event_id, id, at)"""


async def _insert(db: Any, records: Sequence[Any]) -> None:
    leads = [LeadSubmission.model_validate_json(record.value) for record in records]
    ids = [UUID(record.key.decode()) for record in records]
    times = [datetime.fromtimestamp(record.timestamp / 1000, UTC) for record in records]
    async with db.transaction():
        await db.execute(
            INSERT_LEADS,
            ids,
            [lead.email for lead in leads],
            [lead.service for lead in leads],
            [lead.name for lead in leads],
            [lead.message for lead in leads],
            times,
        )
        await db.execute(INSERT_ENTRIES, [uuid7() for _ in ids], ids, times)


async def _run() -> None:
    db: Any = await asyncpg.connect(os.environ["DATABASE_URL"])
    consumer = AIOKafkaConsumer(
        os.environ["KAFKA_TOPIC_PREFIX"] + "leads.received.v1",
        bootstrap_servers=os.environ["KAFKA_BOOTSTRAP_SERVERS"],
        group_id=os.environ["KAFKA_TOPIC_PREFIX"] + "bare-loop",
        enable_auto_commit=False,
        auto_offset_reset="earliest",
    )
    await consumer.start()
    while True:
        found = await consumer.getmany(timeout_ms=500, max_records=500)
        if records := [record for part in found.values() for record in part]:
            await _insert(db, records)
            await consumer.commit()


if __name__ == "__main__":
    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    asyncio.run(_run())
