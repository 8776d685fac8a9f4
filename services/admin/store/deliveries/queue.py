"""The replay queue: list and group its rows, and retry or archive them. The flusher sends due rows.

The methods raise `DependencyUnavailable`, and the errors of `services.admin.rules.errors`.
"""

from pathlib import Path
from typing import Any, Final
from uuid import UUID

from pydantic import JsonValue

from contracts.audit import AuditEvent
from runtime.database.audit_log import append_action
from runtime.database.postgres import Connection, Pool, load_queries, snapshot, transaction
from services.admin.rules.errors import ConflictError, NotFoundError
from services.admin.rules.lead_edit_rules import queued_name
from services.admin.rules.replay_rules import check_expected, replay_blocker
from services.admin.schemas.cursors import Position, split_page
from services.admin.schemas.filters import QueueFilter
from services.admin.schemas.leads import Flushed, QueueItem, QueuePage, flushed
from services.admin.schemas.replay_filters import ArchiveOrder, GroupFilter
from services.admin.schemas.replays import ArchiveAnswer, ChosenGroup, QueueGroup, QueueGroups, Requested
from services.admin.schemas.system import SITE_QUEUE_JOB
from services.admin.store.planning import plan_for_values
from services.admin.texts import gettext

# True if a row of replay_queue matches a `RowSelection`.
IS_SELECTED: Final = """(state = ANY(:states::text[])
    AND (:stage::text IS NULL OR stage = :stage)
    AND (:kind::text IS NULL OR kind = :kind)
    AND (:reason::text IS NULL OR reason = :reason)
    AND (:ids::uuid[] IS NULL OR id = ANY(:ids::uuid[]))
    AND (:since::timestamptz IS NULL OR last_failed_at >= :since)
    AND (:until::timestamptz IS NULL OR last_failed_at < :until))"""
_SQL: Any = load_queries(Path(__file__).with_name("queue.sql"), is_selected=IS_SELECTED)
# Reasons are a closed list of words and codes, so groups are few. The limit is for forged records.
MAX_GROUPS: Final = 500


class ReplayQueue:
    """Reads and changes the rows of the table `replay_queue`."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def list_items(self, filters: QueueFilter) -> QueuePage:
        """Return a page of the rows that match, the most recent failure first."""
        async with snapshot(self._pool) as connection:
            await plan_for_values(connection)
            rows = _SQL.list_queue(connection, **filters.selection(), limit=filters.limit + 1)
            items = [_to_item(row) async for row in rows]
        page, next_cursor = split_page(
            items, filters.limit, lambda item: Position(item.last_failed_at, item.id)
        )
        return QueuePage(items=page, limit=filters.limit, next_cursor=next_cursor)

    async def list_groups(self, filters: GroupFilter) -> QueueGroups:
        """Return the rows grouped by stage, kind, state and reason, the largest group first."""
        async with snapshot(self._pool) as connection:
            await plan_for_values(connection)
            groups = _SQL.list_groups(connection, **filters.selection(), limit=MAX_GROUPS)
            rows = [row async for row in groups]
        return QueueGroups(
            groups=[QueueGroup.model_validate(dict(row)) for row in rows],
            total=rows[0]["total"] if rows else 0,
        )

    async def count_waiting(self) -> int:
        """Return the number of rows that `flush` would retry and `clear` would archive."""
        async with snapshot(self._pool) as connection:
            count: int = await _SQL.count_waiting(connection)
        return count

    async def replay_one(self, queue_id: UUID, comment: str | None, actor: str) -> Requested:
        """Make one row due now.

        The flusher sends the row, and writes an audit entry in the actor's name.
        """
        async with transaction(self._pool) as connection:
            row = await _SQL.lock_row(connection, id=queue_id)
            if row is None:
                raise NotFoundError(gettext("There is no row with this id in the queue."))
            blocker = replay_blocker(state=row["state"], has_payload=row["has_payload"], erased=row["erased"])
            if blocker:
                raise ConflictError(blocker)
            await _SQL.request_row(connection, id=queue_id, actor=actor, comment=comment)
        retries_restart = row["state"] != "waiting"
        return Requested(
            queue_id=queue_id,
            previous_state=row["state"],
            state="waiting",
            attempts=0 if retries_restart else row["attempts"],
            message="It is sent within two seconds"
            + (", with three new retries." if retries_restart else "; this does not count as a retry."),
        )

    async def flush(self, actor: str) -> Flushed:
        """Make every waiting row due now, request the import of the websites' leads, and audit this."""
        async with transaction(self._pool) as connection:
            count: int = await _SQL.request_waiting(connection, actor=actor)
            details = await _SQL.request_job(connection, name=SITE_QUEUE_JOB) or {}
            await append_action(connection, AuditEvent.QUEUE_FLUSHED, actor, {"count": count})
        return flushed(count, sorted(details.get("sites") or {}))

    async def clear(self, stage: str | None, actor: str) -> dict[str, int]:
        """Archive the waiting rows of one stage or of all stages. Return the number of rows by stage."""
        order = ArchiveOrder.model_validate({"stage": stage, "state": "waiting"})
        async with transaction(self._pool) as connection:
            archived = await _archive(connection, order, actor)
            details = {"count": sum(archived.values()), "stages": archived, "asked_for": stage or "all"}
            await append_action(connection, AuditEvent.QUEUE_CLEARED, actor, details)
        return archived

    async def preview_archive(self, order: ArchiveOrder) -> ArchiveAnswer:
        """Count the rows that would be archived. Changes nothing."""
        async with snapshot(self._pool) as connection:
            await plan_for_values(connection)
            groups = _SQL.preview_archive(connection, **order.selection(), limit=MAX_GROUPS)
            rows = [row async for row in groups]
        total = rows[0]["total"] if rows else 0
        return ArchiveAnswer(
            dry_run=True,
            rows=total,
            groups=[ChosenGroup.model_validate(dict(row)) for row in rows],
            message=f"{total} rows would be archived.",
        )

    async def archive(self, order: ArchiveOrder, expected: int | None, actor: str) -> ArchiveAnswer:
        """Archive the rows that match now, and audit it.

        Raises `ConflictError` if no row matches, or more rows than `expected`. Then nothing is archived.
        """
        async with transaction(self._pool) as connection:
            archived = await _archive(connection, order, actor)
            total = sum(archived.values())
            if not total:
                raise ConflictError(gettext("No pending or failed delivery matches."))
            check_expected(total, expected)
            details: dict[str, JsonValue] = {"count": total, "filter": order.summary()}
            comment: dict[str, JsonValue] = {"comment": order.comment} if order.comment else {}
            await append_action(connection, AuditEvent.QUEUE_ARCHIVED, actor, details | comment)
        return ArchiveAnswer(dry_run=False, rows=total, groups=[], message=f"{total} rows are archived.")


async def _archive(connection: Connection, order: ArchiveOrder, actor: str) -> dict[str, int]:
    await plan_for_values(connection)
    rows = _SQL.archive_rows(connection, **order.selection(), actor=actor)
    return {row["stage"]: row["rows"] async for row in rows}


def _to_item(row: Any) -> QueueItem:
    """Return a row with its lead's name. If the lead is not stored, the name comes from the row's record."""
    item = QueueItem.model_validate(dict(row))
    if item.lead_name is None:
        return item.model_copy(update={"lead_name": queued_name(row)})
    return item
