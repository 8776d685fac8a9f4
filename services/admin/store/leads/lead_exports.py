"""Exports of many leads as CSV and as Excel files. Chunks are sent as they are made. Each export is audited.

The methods raise `DependencyUnavailable`, and the errors of `services.admin.rules.errors`.
"""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

from contracts.audit import AuditEvent
from runtime.database.audit_log import append_action
from runtime.database.postgres import Connection, Pool, load_queries, snapshot, transaction
from services.admin.rules import csv_export
from services.admin.rules.errors import ConflictError
from services.admin.schemas.export_query import CsvQuery, ExportQuery
from services.admin.store.leads.excel_file import MAX_LEADS, ExcelFile
from services.admin.store.leads.search import LEAD_FILTER, choose_services, count_leads
from services.admin.store.planning import plan_for_values
from services.admin.texts import Viewer, current_viewer, gettext

_SQL: Any = load_queries(Path(__file__).with_name("lead_exports.sql"), lead_filter=LEAD_FILTER)
# Rows per chunk of an export: usually 1 MB, about 20 MB if every message has the maximum length.
CHUNK: Final = 1000
Rows = list[Any]


class LeadExports:
    """Exports leads.

    The audit entry is committed before the first lead is sent. While a chunk is sent, no transaction is open,
    because a client may be slow. Chunks are made in a thread, so that the process can answer other requests.
    """

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def count(self, query: ExportQuery) -> tuple[int, int, bool]:
        """Return the number of leads in an export, and the number of omitted leads.

        Omitted leads are spam and erased leads that match the other filters, but whose statuses are not
        selected. Also returns True if one of the two numbers is an estimate.
        """
        if query.ids:
            return len(set(query.ids)), 0, False
        async with snapshot(self._pool) as connection:
            await plan_for_values(connection)
            selection = await choose_services(connection, query.selection())
            count, is_estimate = await count_leads(connection, selection)
            total, total_is_estimate = await count_leads(connection, selection | {"left_out": None})
        return count, max(0, total - count), is_estimate or total_is_estimate

    async def export_csv(self, query: CsvQuery, actor: str) -> AsyncIterator[str]:
        """Return the leads as chunks of CSV."""
        return _write_csv(await self._start(query, actor, "csv"), query)

    async def export_excel(self, query: ExportQuery, actor: str) -> AsyncIterator[bytes]:
        """Return the leads as chunks of an Excel file, with headings in the language of the current viewer.

        Raises `ConflictError` if a sheet cannot hold all leads.
        """
        return _write_excel(await self._start(query, actor, "xlsx"), query, current_viewer())

    async def _start(self, query: ExportQuery, actor: str, what: str) -> AsyncIterator[Rows]:
        """Write the audit entry, and return the leads in chunks."""
        async with transaction(self._pool) as connection:
            await plan_for_values(connection)
            if query.ids:
                rows = [row async for row in _SQL.list_chosen(connection, ids=query.ids)]
                await _audit(connection, query, actor, what, len(rows))
                return _only(rows)
            selection = await choose_services(connection, query.selection())
            count, is_estimate = await count_leads(connection, selection)
            if what == "xlsx" and count > MAX_LEADS:
                raise ConflictError(
                    gettext(
                        "An Excel sheet takes %(count)s leads. Select fewer, or export them as CSV.",
                        count=MAX_LEADS,
                    )
                )
            await _audit(connection, query, actor, what, count, is_estimate=is_estimate)
        return self._read(selection)

    async def _read(self, selection: dict[str, Any]) -> AsyncIterator[Rows]:
        position: dict[str, Any] = {"after_at": None, "after_id": None}
        while True:
            async with transaction(self._pool) as connection:
                await plan_for_values(connection)
                leads = _SQL.list_export(connection, **selection, **position, limit=CHUNK)
                rows = [row async for row in leads]
            yield rows
            if len(rows) < CHUNK:
                return
            position = {"after_at": rows[-1]["created_at_utc"], "after_id": rows[-1]["id"]}


async def _audit(
    connection: Connection,
    query: ExportQuery,
    actor: str,
    what: str,
    count: int,
    *,
    is_estimate: bool = False,
) -> None:
    # Only the names of the filters: the value of a search is often an email address.
    details: dict[str, Any] = {"what": what, "filters": query.filter_names(), "count": count}
    details |= {"count_is_estimate": True} if is_estimate else {}
    details |= {"include_spam_and_erased": True} if query.include_spam_and_erased else {}
    details |= {"columns": query.columns} if query.columns else {}
    await append_action(connection, AuditEvent.LEAD_EXPORTED, actor, details)


async def _only(rows: Rows) -> AsyncIterator[Rows]:
    yield rows


async def _write_csv(chunks: AsyncIterator[Rows], query: CsvQuery) -> AsyncIterator[str]:
    columns, zone = query.column_names(), ZoneInfo(query.zone)
    yield csv_export.header(columns, bom=query.bom)
    async for rows in chunks:
        yield await asyncio.to_thread(csv_export.lines, rows, columns, zone)


async def _write_excel(
    chunks: AsyncIterator[Rows], query: ExportQuery, viewer: Viewer
) -> AsyncIterator[bytes]:
    # The file is written while it is sent, when the request has no viewer any more.
    with await asyncio.to_thread(ExcelFile, query.column_names(), ZoneInfo(query.zone), viewer) as file:
        async for rows in chunks:
            yield await asyncio.to_thread(file.add, rows)
        yield await asyncio.to_thread(file.end)
