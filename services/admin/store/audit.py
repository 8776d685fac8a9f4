"""Searches of the audit log. `runtime.database.audit_log` writes its entries."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from contracts.audit import AuditEvent
from runtime.database.postgres import Pool, load_queries, snapshot
from runtime.database.sealed_log import read_last_checkpoint
from runtime.database.sealed_log_proofs import (
    format_consistency,
    format_header,
    prove_entry,
    read_consistency_proof,
)
from services.admin.schemas.cursors import Position, split_page
from services.admin.schemas.filters import AuditFilter
from services.admin.schemas.leads import AuditEntry, AuditPage
from services.admin.store.planning import plan_for_values

_SQL: Any = load_queries(Path(__file__).with_name("audit.sql"))


@dataclass(frozen=True)
class Seal:
    """The newest checkpoint of the sealed audit log (docs/audit.md).

    `note` is the signed text, `size` the number of entries. All entries of before `sealed_until` are sealed.
    `seal_failure` says why the last run of the sealer failed. `last_outcome`, `last_finished_at` and
    `check_failure` are of the last run of the daily check, None if there was none.
    """

    size: int
    note: str
    sealed_until: datetime
    seal_failure: str | None
    last_outcome: str | None
    last_finished_at: datetime | None
    check_failure: str | None


class AuditLog:
    """Reads the table `audit_log`."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def read_seal(self) -> Seal | None:
        """Return the newest checkpoint, or None if the log is not sealed. Raises `DependencyUnavailable`."""
        async with snapshot(self._pool) as connection:
            row = await _SQL.read_seal(connection)
        return Seal(**row) if row else None

    async def prove_entry(self, entry_id: int) -> str | None:
        """Return the newest checkpoint and an entry with its inclusion proof, a line each.

        None: the entry is not sealed, or was archived. Raises `DependencyUnavailable`.
        """
        async with snapshot(self._pool) as connection:
            checkpoint = await read_last_checkpoint(connection)
            line = await prove_entry(connection, entry_id, checkpoint.size) if checkpoint else None
        return f"{format_header(checkpoint.note)}\n{line}\n" if checkpoint and line else None

    async def prove_consistency(self, old_size: int) -> str | None:
        """Return the proof that the newest checkpoint continues the one with `old_size` entries.

        None: the newest one has fewer. Raises `DependencyUnavailable`.
        """
        async with snapshot(self._pool) as connection:
            checkpoint = await read_last_checkpoint(connection)
            if checkpoint is None or old_size > checkpoint.size:
                return None
            proof = await read_consistency_proof(connection, old_size, checkpoint.size)
        return format_consistency(old_size, proof, checkpoint.note)

    async def list_entries(self, filters: AuditFilter) -> AuditPage:
        """Return a page of the audit log, newest first. Raises `DependencyUnavailable`."""
        async with snapshot(self._pool) as connection:
            await plan_for_values(connection)
            parameters = filters.selection() | {"limit": filters.limit + 1}
            if filters.actor and not filters.lead_id and not filters.request_id:
                events = [filters.event] if filters.event else list(AuditEvent)
                rows = _SQL.list_audit_of_actor(connection, **parameters, events=events)
            else:
                rows = _SQL.list_audit(connection, **parameters)
            entries = [AuditEntry.model_validate(dict(row)) async for row in rows]
            page, next_cursor = split_page(
                entries, filters.limit, lambda entry: Position(entry.created_at_utc, entry.id)
            )
            archived = None
            if next_cursor is None:
                archived = await _SQL.archived_until(connection, since=filters.since)
        return AuditPage(entries=page, limit=filters.limit, next_cursor=next_cursor, archived_until=archived)
