"""Bulk changes (one action on many leads): preview, start, follow and cancel. `bulk_worker` does the changes.

The methods raise `DependencyUnavailable`, and the errors of `services.admin.rules.errors`.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final
from uuid import UUID, uuid4

from contracts.audit import AuditEvent
from contracts.leads import LeadStatus
from runtime.database.audit_log import append_action
from runtime.database.postgres import Connection, Pool, load_queries, snapshot, transaction
from runtime.sites.destinations import Destination
from runtime.sites.model import Sites
from services.admin.rules.bulk_rules import is_unchanged, nothing_to_cancel, refusal, refused_groups
from services.admin.rules.errors import ConflictError, NotFoundError
from services.admin.rules.lead_rules import emails_due
from services.admin.schemas import bulk_changes as schemas
from services.admin.schemas.cursors import Position, split_page
from services.admin.schemas.failed_deliveries import FailedDeliveries
from services.admin.schemas.replay_filters import HistoryPage
from services.admin.store.bulk.bulk_deliveries import SQL as DELIVERIES
from services.admin.store.bulk.bulk_deliveries import count_to_retry, count_to_send
from services.admin.store.leads.search import LEAD_FILTER, choose_services
from services.admin.store.planning import plan_for_values
from services.admin.texts import gettext, gettext_noop

_HELD_UP: Final = """
    EXISTS (SELECT FROM webhook_destination AS w WHERE b.per_second IS NOT NULL AND w.name = b.value
            AND (w.disabled_at IS NOT NULL OR w.paused_until > now()))
"""
_COLUMNS: Final = f"""
    b.id, b.actor, b.action, b.value, b.total, b.next_position, b.per_second, b.created_at, b.updated_at,
    b.finished_at, b.cancelled_at, b.retry_at, b.retry_reason, {_HELD_UP.strip()} AS is_waiting
"""
SQL: Any = load_queries(
    Path(__file__).with_name("bulk_changes.sql"), lead_filter=LEAD_FILTER, columns=_COLUMNS, held_up=_HELD_UP
)
NO_SUCH_BULK: Final = gettext_noop("There is no action with this id.")


class BulkChanges:
    """Reads and changes the tables `bulk_change` and `bulk_change_item`.

    `started_here` is set after each start, so that the worker of this process begins at once.
    """

    def __init__(self, pool: Pool, current_sites: Callable[[], Sites]) -> None:
        """`current_sites` returns the current version of the sites file."""
        self._pool = pool
        self._sites = current_sites
        self.started_here = asyncio.Event()

    async def preview(self, order: schemas.BulkOrder) -> schemas.BulkAnswer:
        """Count the leads that a bulk change would change and those that it cannot change.

        Changes nothing. Raises `NotFoundError` if the sites file does not have the order's destination.
        """
        destination = self._destination(order)
        async with snapshot(self._pool) as connection:
            return await _count(connection, order, await _selection(connection, order), destination)

    async def start(self, order: schemas.BulkOrder, expected: int | None, actor: str) -> schemas.BulkAnswer:
        """Start a bulk change of all leads that match now.

        Raises `ConflictError` if no lead matches, if more than `expected` leads match, or if more than
        100,000 leads match. Raises `NotFoundError` if the sites file does not have the order's destination.
        """
        destination = self._destination(order)
        async with transaction(self._pool) as connection:
            selection = await _selection(connection, order)
            answer = await _count(connection, order, selection, destination)
            if not answer.leads:
                raise ConflictError(gettext("No lead matches."))
            if expected is not None and answer.leads > expected:
                raise ConflictError(
                    gettext(
                        "%(count)s leads match now, not %(expected)s. Check the preview.",
                        count=answer.leads,
                        expected=expected,
                    )
                )
            bulk_id = uuid4()
            await SQL.start(
                connection,
                bulk_id=bulk_id,
                actor=actor,
                action=order.action,
                value=order.value,
                per_second=order.rate,
            )
            choose = DELIVERIES.choose_to_retry if order.action == "retry" else SQL.choose_leads
            await choose(connection, bulk_id=bulk_id, **selection)
            bulk = _to_bulk(await SQL.set_total(connection, bulk_id=bulk_id))
            await _audit(connection, AuditEvent.BULK_STARTED, actor, bulk)
        self.started_here.set()
        return answer.model_copy(update={"dry_run": False, "bulk": bulk, "leads": bulk.total})

    async def list_bulks(self, page: HistoryPage) -> schemas.BulkHistory:
        """Return a page of the bulk changes, newest first."""
        async with snapshot(self._pool) as connection:
            rows = SQL.list_bulks(connection, **page.after(), limit=page.limit + 1)
            bulks = [_to_bulk(row) async for row in rows]
        shown, next_cursor = split_page(bulks, page.limit, lambda bulk: Position(bulk.created_at, bulk.id))
        return schemas.BulkHistory(bulks=shown, limit=page.limit, next_cursor=next_cursor)

    async def get_bulk(self, bulk_id: UUID, page: schemas.BulkPage) -> schemas.BulkDetail:
        """Return a bulk change, the number of its leads by result, and a page of its leads.

        All are read from one database snapshot.
        """
        async with snapshot(self._pool) as connection:
            row = await SQL.get_bulk(connection, bulk_id=bulk_id)
            if row is None:
                raise NotFoundError(gettext(NO_SUCH_BULK))
            counts = SQL.count_results(connection, bulk_id=bulk_id, next_position=row["next_position"])
            results = {each["result"]: each["leads"] async for each in counts if each["result"]}
            items = SQL.list_items(
                connection, bulk_id=bulk_id, after=page.cursor, result=page.result, limit=page.limit + 1
            )
            found = [schemas.BulkItem.model_validate(dict(item)) async for item in items]
        shown = found[: page.limit]
        return schemas.BulkDetail(
            bulk=_to_bulk(row),
            results=results,
            items=shown,
            limit=page.limit,
            next_cursor=shown[-1].position if len(found) > page.limit else None,
        )

    async def cancel(self, bulk_id: UUID, actor: str) -> schemas.BulkChange:
        """Cancel a bulk change, and audit that.

        Leads that are already changed stay changed, and no more leads are changed.
        """
        async with transaction(self._pool) as connection:
            row = await SQL.cancel(connection, bulk_id=bulk_id)
            if row is None:
                existing = await SQL.get_bulk(connection, bulk_id=bulk_id)
                if existing is None:
                    raise NotFoundError(gettext(NO_SUCH_BULK))
                raise ConflictError(nothing_to_cancel(_to_bulk(existing).state))
            bulk = _to_bulk(row)
            await _audit(connection, AuditEvent.BULK_CANCELLED, actor, bulk)
        return bulk

    def _destination(self, order: schemas.BulkOrder) -> Destination | None:
        """Return the order's destination, or None if the order has none."""
        if order.destination is None:
            return None
        if order.destination not in self._sites().destinations:
            raise NotFoundError(gettext("The sites file has no destination with this name."))
        return self._sites().destinations[order.destination]


async def _audit(connection: Connection, event: AuditEvent, actor: str, bulk: schemas.BulkChange) -> None:
    details = {
        "bulk_id": str(bulk.id),
        **bulk.model_dump(include={"action", "value", "total", "done", "per_second"}, exclude_none=True),
    }
    await append_action(connection, event, actor, details)


async def _selection(connection: Connection, order: schemas.BulkOrder) -> dict[str, Any]:
    await plan_for_values(connection)
    if order.action == "retry":
        failed = order.deliveries or FailedDeliveries()
        return {"destination": order.destination, "ids": order.ids, **failed.selection()}
    return await choose_services(connection, order.selection())


async def _count(
    connection: Connection,
    order: schemas.BulkOrder,
    selection: Mapping[str, Any],
    destination: Destination | None,
) -> schemas.BulkAnswer:
    bound = schemas.MAX_LEADS + 1
    counts = Counter[LeadStatus]()
    refused: list[schemas.RefusedGroup] = []
    unchanged = already = 0
    if order.action == "retry":
        leads, refused = await count_to_retry(connection, selection)
    elif order.action == "send" and destination:
        leads, refused, already = await count_to_send(connection, destination, selection, bound)
    else:
        by_assignee = order.action == "assign"
        async for row in SQL.count_chosen(connection, **selection, by_assignee=by_assignee, bound=bound):
            status = LeadStatus(row["status"])
            if is_unchanged(order.action, order.value, status, row["assignee"]):
                unchanged += row["leads"]
            else:
                counts[status] += row["leads"]
        leads = unchanged + counts.total()
        refused = refused_groups(order.action, order.value, counts)
    if leads > schemas.MAX_LEADS:
        raise ConflictError(
            gettext("More than %(count)s leads match. Narrow the filter.", count=schemas.MAX_LEADS)
        )
    emails = 0
    if order.new_status:
        emails = sum(
            len(emails_due(status, order.new_status)) * count
            for status, count in counts.items()
            if refusal(order.action, order.value, status) is None
        )
    changing = leads - sum(group.leads for group in refused) - unchanged - already
    return schemas.BulkAnswer(
        dry_run=True,
        leads=leads,
        changing=changing,
        unchanged=unchanged,
        refused=refused,
        emails=emails,
        already_sent=already,
        bulk=None,
        message=f"{changing} of {leads} leads can be changed.",
    )


def _to_bulk(row: Any) -> schemas.BulkChange:
    state = "cancelled" if row["cancelled_at"] else "finished" if row["finished_at"] else "running"
    return schemas.BulkChange.model_validate({**row, "state": state, "done": row["next_position"] - 1})
