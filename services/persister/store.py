"""The persister's adapter to PostgreSQL: it stores a batch and the ledger in one transaction."""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any, Final, Self
from uuid import UUID

from pydantic import BaseModel
from pydantic_core import to_json

from contracts.leads import LeadReceived, LeadStatus
from contracts.reasons import LIMIT_REASONS
from runtime.database.audit_log import append_entries
from runtime.database.canaries import CanaryResult, count_failed_canary, rehearse
from runtime.database.ledger import Ledger, LedgerEntries
from runtime.database.postgres import Connection, Pool, autocommit, load_queries, transaction
from runtime.database.replay_queue import resolve_replays
from runtime.failures import RetryableError
from runtime.kafka.handler import Record
from services.persister.batch import DecodedBatch, conflict_entry, received_entry, rejected_entry

SQL: Any = load_queries(Path(__file__).with_name("queries.sql"))
# The parameters of `insert_leads` with which it writes only leads and their audit entries.
NO_COUNTS: Final[dict[str, Sequence[Any]]] = {
    "ids": [],
    "topics": [],
    "partitions": [],
    "first_offsets": [],
    "next_offsets": [],
    "last_records": [],
}


@dataclass
class BatchOutcome:
    """The result of storing a batch.

    The caller must publish a failure for each record in `undecodable` and `conflicts`. `replays` are the ids
    of the `replay_queue` rows that the batch resolves, `new` those of the leads that are stored now. The
    canaries are only counted.
    """

    undecodable: list[Record] = field(default_factory=list)
    conflicts: list[Record] = field(default_factory=list)
    replays: list[UUID] = field(default_factory=list)
    new: list[UUID] = field(default_factory=list, compare=False)
    canaries: list[tuple[Record, LeadReceived]] = field(default_factory=list, compare=False)


@dataclass(frozen=True)
class _PreparedBatch:
    """A batch with the JSON texts for its queries."""

    batch: DecodedBatch
    first_records: dict[UUID, tuple[Record, LeadReceived]]
    leads_json: str
    entries_json: str

    @classmethod
    def of(cls, batch: DecodedBatch) -> Self:
        first = batch.first_records()
        entries = [received_entry(record, lead) for record, lead in first.values()]
        return cls(batch, first, _json([lead for _, lead in first.values()]), _json(entries))


class Store:
    """Writes leads, audit entries and the ledger. Its methods raise the errors of `runtime.failures`."""

    def __init__(self, pool: Pool, ledger: Ledger) -> None:
        self._pool = pool
        self._ledger = ledger

    async def save(self, parts: Iterable[DecodedBatch], records: Sequence[Record]) -> BatchOutcome:
        """Store a batch in one transaction, and return the records whose failures the caller must publish.

        If a batch has one part, and only new leads, one statement stores it. Otherwise `parts` decodes
        `records` lazily: the next part is decoded while the database writes the current one. This saves up to
        17 ms of the 70 ms that 500 leads need.
        """
        outcome, writing = BatchOutcome(), None
        prepared_parts = map(_PreparedBatch.of, parts)
        first = next(prepared_parts)
        if len(first.batch.records) == len(records) and await self._save_at_once(first, outcome):
            return outcome
        async with transaction(self._pool) as connection:
            ledger_entries = await self._ledger.lock(connection, records)
            try:
                for prepared in chain([first], prepared_parts):
                    if writing:
                        await writing
                    writing = asyncio.create_task(self._write(connection, prepared, ledger_entries, outcome))
                    await asyncio.sleep(0)  # lets the task send its first statement
                if writing:
                    await writing
            finally:
                if writing:  # the task must end before anything else uses the connection
                    writing.cancel()
                    await asyncio.gather(writing, return_exceptions=True)
            await resolve_replays(connection, "persister", outcome.replays)
            await self._ledger.save(connection, ledger_entries)
        return outcome

    async def _save_at_once(self, prepared: _PreparedBatch, outcome: BatchOutcome) -> bool:
        """Store a batch and count it in the ledger by one statement, which is a transaction of its own.

        Return False, and change nothing, unless all its records are new leads and continue the ledger.
        """
        batch, first = prepared.batch, prepared.first_records
        counts = self._ledger.count_parameters(batch.records)
        # A canary is no new lead: it makes `first` too short.
        if len(first) < len(batch.records) or batch.replays() or counts is None:
            return False
        try:
            async with autocommit(self._pool) as connection:
                new = await self._insert_leads(connection, prepared, ids=list(first), **counts)
        except RetryableError:  # a lead that the database refuses, or that another process stores now
            return False
        if new:
            self._ledger.forget_rewinds(batch.records)
        outcome.new += new
        return bool(new)

    async def _write(
        self,
        connection: Connection,
        prepared: _PreparedBatch,
        ledger_entries: LedgerEntries,
        outcome: BatchOutcome,
    ) -> None:
        batch = prepared.batch
        stored, conflicts = await self._save_leads(connection, prepared, outcome)
        stored |= await self._save_entries(connection, batch)
        conflicting, undecodable = set(map(id, conflicts)), set(map(id, batch.undecodable))
        canaries = {id(record) for record, _ in batch.canaries}
        for record in batch.records:
            if id(record) in undecodable:
                ledger_entries.count(record, "undecodable")
            elif id(record) in canaries:
                ledger_entries.count(record, "canary")
            elif id(record) in conflicting:
                ledger_entries.count(record, "parked")
            else:
                ledger_entries.count(record, "stored" if id(record) in stored else "duplicate")
        outcome.undecodable += batch.undecodable
        outcome.conflicts += conflicts
        outcome.replays += batch.replays()
        outcome.canaries += batch.canaries

    async def rehearse(self, record: Record, canary: LeadReceived) -> str:
        """Store a canary as a lead is stored, and undo that. Return why it failed, or an empty text."""
        alone = _PreparedBatch.of(DecodedBatch([record], leads=[(record, canary)]))

        async def write(connection: Connection) -> bool:
            return bool(await self._insert_leads(connection, alone))

        return await rehearse(self._pool, write)

    async def count_canary(self, record: Record, result: CanaryResult) -> None:
        """Count a canary that could not be handled, and write why."""
        await count_failed_canary(self._pool, self._ledger, record, result)

    async def count_failure(self, record: Record) -> None:
        """Count one record as `parked` in the ledger, after its failure was published."""
        await self._ledger.count_failure(self._pool, record)

    async def _save_leads(
        self, connection: Connection, prepared: _PreparedBatch, outcome: BatchOutcome
    ) -> tuple[set[int], list[Record]]:
        batch, first = prepared.batch, prepared.first_records
        if not first:
            return set(), []
        new = await self._insert_leads(connection, prepared)
        outcome.new += new
        stored = {id(first[lead_id][0]) for lead_id in new}
        conflicts = []
        if len(stored) < len(batch.leads):
            conflicts = await self._find_conflicts(connection, batch, stored)
        await append_entries(connection, [conflict_entry(record, lead) for record, lead in conflicts])
        return stored, [record for record, _ in conflicts]

    async def _insert_leads(
        self, connection: Connection, prepared: _PreparedBatch, **counts: Sequence[Any]
    ) -> list[UUID]:
        """Return the ids of the new leads. With `counts`, count all records as stored too."""
        rows = SQL.insert_leads(
            connection,
            leads=prepared.leads_json,
            entries=prepared.entries_json,
            limit_reasons=list(LIMIT_REASONS),
            stage=self._ledger.stage,
            **(NO_COUNTS | counts),
        )
        return [row["id"] async for row in rows]

    async def _find_conflicts(
        self, connection: Connection, batch: DecodedBatch, stored: set[int]
    ) -> list[tuple[Record, LeadReceived]]:
        """Return the leads whose id is already stored with another body. The stored leads do not change."""
        known = [(record, lead) for record, lead in batch.leads if id(record) not in stored]
        rows = SQL.known_leads(connection, ids=list({lead.lead_id for _, lead in known}))
        rows_by_id: dict[UUID, Any] = {row["id"]: row async for row in rows}
        return [
            (record, lead)
            for record, lead in known
            if rows_by_id[lead.lead_id]["status"] != LeadStatus.ERASED
            and rows_by_id[lead.lead_id]["body_sha256"] != lead.body_sha256
        ]

    async def _save_entries(self, connection: Connection, batch: DecodedBatch) -> set[int]:
        entries = [rejected_entry(entry) for _, entry in batch.entries]
        new = await append_entries(connection, entries, database_time=True)
        stored = set[int]()
        for record, entry in batch.entries:
            if entry.event_id in new:
                new.discard(entry.event_id)  # a second record in this batch is a duplicate
                stored.add(id(record))
        return stored


def _json(rows: Sequence[BaseModel]) -> str:
    """Return models as a JSON array, which a query reads as rows."""
    return to_json(rows).decode()
