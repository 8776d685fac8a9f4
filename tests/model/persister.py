"""Two persisters that share one partition. One that lost it may go on with the batch in its hand."""

from collections.abc import Iterator

from tests.model.checker import Step
from tests.model.intake_state import Batch, Database, State, put


class Persister:
    """The steps of persister `m`. `broken` names what is broken on purpose."""

    def __init__(self, broken: tuple[str, ...]) -> None:
        self._broken = broken

    def steps(self, s: State, m: int) -> Iterator[Step]:
        batch, name = s.batches[m], f"Persister {m + 1}"
        if s.owner != m and s.faults:
            moved = s._replace(owner=m, faults=s.faults - 1)
            yield Step(f"The partition moves to persister {m + 1}", moved, fault=True)
        if batch is None:
            yield from self._fetch(s, m)
            return
        if s.faults:
            killed = s._replace(batches=put(s.batches, m, None), faults=s.faults - 1)
            yield Step(f"{name} is killed", killed, fault=True)
        if batch.phase == "fetched" and s.database_up:
            if batch.first > s.database.next_offset:
                dropped = s._replace(batches=put(s.batches, m, None))
                yield Step(f"{name} sees that its records do not continue the ledger", dropped)
            else:
                yield from self._store(s, m, batch)
        if batch.phase == "entries" and s.database_up:
            entered = s.database._replace(entries=tuple(each[0] for each in s.database.rows))
            after = s._replace(database=entered, batches=put(s.batches, m, batch._replace(phase="stored")))
            yield Step(f"{name} writes the audit entries in another transaction", after)
        if batch.phase in ("stored", "published", "committed") and s.kafka:
            yield from self._finish(s, m, batch)

    def _fetch(self, s: State, m: int) -> Iterator[Step]:
        if s.owner != m or not s.database_up:
            return
        if s.database.next_offset < s.commit and "no rewind to an older database" not in self._broken:
            rewound = s._replace(commit=s.database.next_offset)
            yield Step(f"Persister {m + 1} sees an older database and rewinds in Kafka", rewound)
        elif s.kafka and s.commit < len(s.log):
            batch = Batch(s.commit, len(s.log))
            after = s._replace(batches=put(s.batches, m, batch))
            if "offsets are committed before the transaction" in self._broken:
                after = after._replace(commit=len(s.log))
            yield Step(f"Persister {m + 1} fetches offsets {batch.first} to {batch.last - 1}", after)

    def _store(self, s: State, m: int, batch: Batch) -> Iterator[Step]:
        stored, conflicts = self._transaction(s, batch)
        phase, name = "stored", "commits rows, entries and ledger"
        if "entries in another transaction" in self._broken:
            stored, phase, name = (
                stored._replace(entries=s.database.entries),
                "entries",
                "commits rows and ledger",
            )
        done = s._replace(database=stored, standby=s.database)
        batch = batch._replace(phase=phase, conflicts=conflicts)
        yield Step(f"Persister {m + 1} {name}", done._replace(batches=put(s.batches, m, batch)))
        if s.faults:
            unsure = done._replace(faults=s.faults - 1)
            yield Step(f"Persister {m + 1} {name}, and the reply is lost", unsure, fault=True)

    def _transaction(self, s: State, batch: Batch) -> tuple[Database, frozenset[int]]:
        old = s.database
        rows, stored, others, conflicts = list(old.rows), old.stored, old.others, set[int]()
        for offset in range(batch.first, batch.last):
            lead_id, body = s.log[offset]
            known = next((row[1] for row in rows if row[0] == lead_id), None)
            if old.tombstone:
                known = body  # a duplicate of an erased lead
            elif known is None or "no idempotent insert" in self._broken:
                rows.append((lead_id, body))
            elif known != body:
                conflicts.add(offset)
            if offset >= old.next_offset or "every delivery is counted" in self._broken:
                stored, others = stored + (known is None), others + (known is not None)
        rows.sort()
        ids, last = tuple(each[0] for each in rows), max(batch.last, old.next_offset)
        return Database(tuple(rows), ids, last, stored, others, old.tombstone), frozenset(conflicts)

    def _finish(self, s: State, m: int, batch: Batch) -> Iterator[Step]:
        """Publish the conflicts of the batch, then commit its offsets."""
        is_early = "offsets are committed before the failure" in self._broken
        if batch.conflicts and batch.phase == ("committed" if is_early else "stored"):
            after = None if is_early else batch._replace(phase="published")
            published = s._replace(failed=s.failed | batch.conflicts, batches=put(s.batches, m, after))
            yield Step(f"Persister {m + 1} publishes the second body to the failed topic", published)
            if "conflicts are dropped" not in self._broken:
                return
        commit = max(s.commit, batch.last) if s.owner == m else s.commit
        kept = batch._replace(phase="committed") if is_early and batch.conflicts else None
        verb = "commits its offsets" if s.owner == m else "may not commit offsets of a partition that it lost"
        yield Step(f"Persister {m + 1} {verb}", s._replace(batches=put(s.batches, m, kept), commit=commit))
