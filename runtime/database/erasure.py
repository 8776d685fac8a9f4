"""The erasure of a lead, and the lock that keeps it from a transaction that writes personal data."""

from pathlib import Path
from typing import Any
from uuid import UUID

from runtime.database.postgres import Connection, load_queries

SQL: Any = load_queries(Path(__file__).with_name("erasure.sql"))


async def block_erasures(connection: Connection) -> None:
    """Wait for an erasure that is under way, and let no other begin before this transaction ends."""
    await SQL.block_erasures(connection)


async def erase_lead(connection: Connection, lead_id: UUID, actor: str) -> dict[str, Any] | None:
    """Erase a lead and return what was emptied; None where nothing is stored of it."""
    erased: dict[str, Any] | None = await SQL.erase_lead(connection, id=lead_id, actor=actor)
    return erased
