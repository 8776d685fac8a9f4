"""Erases a lead, and makes erasures wait while a transaction writes personal data."""

from pathlib import Path
from typing import Any
from uuid import UUID

from runtime.database.postgres import Connection, load_queries

SQL: Any = load_queries(Path(__file__).with_name("erasure.sql"))


async def block_erasures(connection: Connection) -> None:
    """Wait for a running erasure, and block further ones until this transaction ends."""
    await SQL.block_erasures(connection)


async def erase_lead(connection: Connection, lead_id: UUID, actor: str) -> dict[str, Any] | None:
    """Erase a lead's personal data and return what was erased, as the SQL function `erase_lead` reports it.

    Returns None if nothing is stored about the lead. Otherwise the dict has these keys:

    - `already`: True if the lead was erased before
    - `erased_at`
    - `stored`: True if the persister had stored the lead
    - `emails` and `queue_rows`: the numbers of emptied rows
    """
    erased: dict[str, Any] | None = await SQL.erase_lead(connection, id=lead_id, actor=actor)
    return erased
