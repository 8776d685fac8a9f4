"""The persister's one adapter to PostgreSQL: a batch in, its outcomes out, in one transaction."""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self
from uuid import UUID

from pydantic import BaseModel
from pydantic_core import to_json

from contracts.leads import LeadReceived, LeadStatus
from runtime.database.audit_log import append_entries
from runtime.database.ledger import Ledger, LedgerEntries
from runtime.database.postgres import Connection, Pool, load_queries, transaction
from runtime.database.replay_queue import resolve_replays
from runtime.kafka.handler import Record
from services.persister.batch import Batch, conflict_entry, received_entry, rejected_entry

SQL: Any = load_queries(Path(__file__).with_name("queries.sql"))


@dataclass
class BatchOutcome:
    """What is to be done about records that were taken: to be dead-lettered, or already replayed."""

    undecodable: list[Record] = field(default_factory=list)
    conflicts: list[Record] = field(default_factory=list)
    replays: list[UUID] = field(default_factory=list)


@dataclass(frozen=True)
class _PreparedBatch:
    """A batch with all that is written of it, should its leads be new."""

    batch: Batch
    first: dict[UUID, tuple[Record, LeadReceived]]
    leads: str
    entries: str

    @classmethod
    def of(cls, batch: Batch) -> Self:
        first = batch.first_records()
        entries = [received_entry(record, lead) for record, lead in first.values()]
        return cls(batch, first, _json([lead for _, lead in first.values()]), _json(entries))


class Store:
    """Writes leads, audit entries and the ledger. Raises the failures of `runtime.failures`."""

    def __init__(self, pool: Pool, ledger: Ledger) -> None:
        self._pool = pool
        self._ledger = ledger

    async def save(self, parts: Iterable[Batch], records: Sequence[Record]) -> BatchOutcome:
        """Store records whole or not at all: all of them in one transaction, part by part.

        A part is read and made ready while the database writes the one before it: at most 17 ms of 70 for
        500 leads.
        """
        saved, writing = BatchOutcome(), None
        async with transaction(self._pool) as connection:
            ledger_entries = await self._ledger.lock(connection, records)
            try:
                for batch in parts:
                    ready = _PreparedBatch.of(batch)
                    if writing:
                        await writing
                    writing = asyncio.create_task(self._write(connection, ready, ledger_entries, saved))
                    await asyncio.sleep(0)  # its first statement is sent now
                if writing:
                    await writing
            finally:
                if writing:  # nothing else may use the connection before it has ended, however
                    writing.cancel()
                    await asyncio.gather(writing, return_exceptions=True)
            await resolve_replays(connection, "persister", saved.replays)
            await self._ledger.save(connection, ledger_entries)
        return saved

    async def _write(
        self,
        connection: Connection,
        ready: _PreparedBatch,
        ledger_entries: LedgerEntries,
        saved: BatchOutcome,
    ) -> None:
        batch = ready.batch
        stored, conflicts = await self._save_leads(connection, ready)
        stored |= await self._save_entries(connection, batch)
        parked, undecodable = set(map(id, conflicts)), set(map(id, batch.undecodable))
        for record in batch.records:
            if id(record) in undecodable:
                ledger_entries.count(record, "undecodable")
            elif id(record) in parked:
                ledger_entries.count(record, "parked")
            else:
                ledger_entries.count(record, "stored" if id(record) in stored else "duplicate")
        saved.undecodable += batch.undecodable
        saved.conflicts += conflicts
        saved.replays += batch.replays()

    async def count_parked(self, record: Record) -> None:
        """Put one record that was handed to the replay queue into the books."""
        async with transaction(self._pool) as connection:
            ledger_entries: LedgerEntries = await self._ledger.lock(connection, [record])
            ledger_entries.count(record, "parked")
            await self._ledger.save(connection, ledger_entries)

    async def _save_leads(
        self, connection: Connection, ready: _PreparedBatch
    ) -> tuple[set[int], list[Record]]:
        batch, first = ready.batch, ready.first
        if not first:
            return set(), []
        new = SQL.insert_leads(connection, leads=ready.leads, entries=ready.entries)
        stored = {id(first[row["id"]][0]) async for row in new}
        conflicts = []
        if len(stored) < len(batch.leads):
            conflicts = await self._conflicts(connection, batch, stored)
        await append_entries(connection, [conflict_entry(record, lead) for record, lead in conflicts])
        return stored, [record for record, _ in conflicts]

    async def _conflicts(
        self, connection: Connection, batch: Batch, stored: set[int]
    ) -> list[tuple[Record, LeadReceived]]:
        """Return the leads that came a second time with another body; the first one is kept."""
        again = [(record, lead) for record, lead in batch.leads if id(record) not in stored]
        rows = SQL.known_leads(connection, ids=list({lead.lead_id for _, lead in again}))
        known: dict[UUID, Any] = {row["id"]: row async for row in rows}
        return [
            (record, lead)
            for record, lead in again
            if known[lead.lead_id]["status"] != LeadStatus.ERASED
            and known[lead.lead_id]["body_sha256"] != lead.body_sha256
        ]

    async def _save_entries(self, connection: Connection, batch: Batch) -> set[int]:
        entries = [rejected_entry(entry) for _, entry in batch.entries]
        new = await append_entries(connection, entries, database_time=True)
        stored = set[int]()
        for record, entry in batch.entries:
            if entry.event_id in new:
                new.discard(entry.event_id)  # its second record in this batch is a duplicate
                stored.add(id(record))
        return stored


def _json(rows: Sequence[BaseModel]) -> str:
    """Write models as the JSON that a query reads its rows from, by their own names."""
    return to_json(rows).decode()
