"""Appends entries to `audit_log`, in the transaction of the action itself. Entries never change."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from pydantic_core import to_json

from contracts.audit import AuditEvent, AuditRecorded
from runtime.database.postgres import Connection, load_queries

SQL: Any = load_queries(Path(__file__).with_name("audit_log.sql"))


async def append_entries(
    connection: Connection, entries: Sequence[AuditRecorded], *, database_time: bool = False
) -> set[UUID]:
    """Append entries and return the ids of the new ones. Entries that exist already are ignored.

    With `database_time`, an entry gets the time of the transaction instead of its own `occurred_at`.
    """
    if not entries:
        return set()
    rows = SQL.insert_entries(connection, entries=to_json(entries).decode(), database_time=database_time)
    return {row["event_id"] async for row in rows}


async def append_action(
    connection: Connection,
    event: AuditEvent,
    actor: str,
    details: dict[str, Any],
    lead_id: UUID | None = None,
    request_id: str | None = None,
) -> None:
    """Append an entry for an action of the person `actor`, with the time of this transaction."""
    entry = AuditRecorded(
        event_id=uuid4(),
        occurred_at=datetime.now(UTC),
        event=event,
        actor=actor,
        lead_id=lead_id,
        request_id=request_id,
        details=details,
    )
    await append_entries(connection, [entry], database_time=True)
