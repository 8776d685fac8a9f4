"""Lists, adds and removes suppressed addresses. Each change is audited."""

from pathlib import Path
from typing import Any
from uuid import UUID

from contracts.audit import AuditEvent
from runtime.database.audit_log import append_action
from runtime.database.postgres import Pool, load_queries, snapshot, transaction
from runtime.database.suppressed_addresses import SuppressedAddresses
from runtime.mailbox import mailbox_key
from services.admin.rules.errors import NotFoundError
from services.admin.schemas.suppressions import (
    NewSuppression,
    Suppression,
    SuppressionFilter,
    SuppressionList,
)
from services.admin.texts import gettext

_SQL: Any = load_queries(Path(__file__).with_name("suppressions.sql"))


class SuppressionEntries:
    """Reads and writes the table `suppressed_address`. All methods raise `DependencyUnavailable`."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._addresses = SuppressedAddresses()

    async def list_entries(self, filters: SuppressionFilter) -> SuppressionList:
        """Return the newest entries and the number of all."""
        async with snapshot(self._pool) as connection:
            rows = [dict(row) async for row in _SQL.list_suppressions(connection, limit=filters.limit)]
            total = await _SQL.count_suppressions(connection)
        return SuppressionList.model_validate({"suppressions": rows, "total": total})

    async def add(self, new: NewSuppression, actor: str) -> Suppression:
        """Suppress an address for 180 days, and return its entry. A known entry is renewed."""
        async with transaction(self._pool) as connection:
            entry_id = await self._addresses.add(
                connection, mailbox_key(new.email), new.site, "manual", actor=actor
            )
            details = {"suppression_id": str(entry_id), "site": new.site, "reason": "manual"}
            await append_action(connection, AuditEvent.SUPPRESSION_ADDED, actor, details)
            return Suppression.model_validate(dict(await _SQL.get_suppression(connection, id=entry_id)))

    async def remove(self, entry_id: UUID, actor: str) -> None:
        """Remove an entry. Raises `NotFoundError`."""
        async with transaction(self._pool) as connection:
            removed = await _SQL.remove_suppression(connection, id=entry_id)
            if removed is None:
                raise NotFoundError(gettext("This entry does not exist. It may have expired."))
            details = {
                "suppression_id": str(entry_id), "site": removed["site"], "reason": removed["reason"]
            }  # fmt: skip
            await append_action(
                connection, AuditEvent.SUPPRESSION_REMOVED, actor, details, lead_id=removed["lead_id"]
            )
