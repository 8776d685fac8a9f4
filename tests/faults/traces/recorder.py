"""Records what each lead of a round shows to the outside, for `python -m tests.model --traces`.

A trace has one line of JSON for each lead, compressed by gzip: for each observer its observations, in its
order. It contains ids and no personal data. What they mean to the model is in `tests/model/traces`.
"""

import asyncio
import gzip
import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple
from uuid import UUID, uuid5

import asyncpg
from aiokafka import AIOKafkaConsumer, TopicPartition

from tests.faults.environment import Environment
from tests.faults.load import Lead, Refusal

_TOPICS: Final = {
    "received": "leads.received.v1",
    "failed": "leads.failed.v1",
    "retry": "leads.retry.notifier.v1",
    "changed": "leads.changed.v1",
    "audit": "audit.recorded.v1",
}
_CHANGES: Final = """
SELECT id, lead_id::text, label, transaction::text,
       extract(epoch FROM pg_xact_commit_timestamp(transaction::xid))::float8 AS at
FROM trace.change WHERE id > $1 ORDER BY id
"""


class Moment(NamedTuple):
    """A transaction, a mail or a delivery, at a time in seconds since 1970 by this machine's clock."""

    at: float
    observer: str
    labels: list[str]


@dataclass
class Recorder:
    """Everything of one environment so far. `record` writes what is new since the last call."""

    environment: Environment
    _read: dict[tuple[str, int], int] = field(default_factory=dict)  # next offsets
    _last_change: int = 0
    _records: dict[str, dict[str, list[list[Any]]]] = field(default_factory=dict)  # by lead, then by topic
    _moments: dict[str, dict[str, Moment]] = field(default_factory=dict)  # by lead, then by transaction
    _mails: int = 0
    _events: int = 0
    _written: dict[str, str] = field(default_factory=dict)

    async def install(self) -> None:
        """Let the database note the history of each lead from now on."""
        connection = await asyncpg.connect(self.environment.postgres.urls.superuser, timeout=10)
        try:
            await connection.execute(Path(__file__).with_name("history.sql").read_text())
        finally:
            await connection.close()

    async def record(
        self, path: Path, leads: Mapping[str, Lead], refusals: Iterable[Refusal], seed: str
    ) -> int:
        """Write the traces that are new or have changed, and return how many. Call it when idle."""
        await self._read_topics()
        await self._read_changes()
        self._read_arrivals()
        lines = list[str]()
        for lead_id in sorted({*self._records, *self._moments, *leads}):
            line = json.dumps(self._trace(lead_id, leads.get(lead_id)), separators=(",", ":"))
            if self._written.get(lead_id) != (digest := hashlib.sha256(line.encode()).hexdigest()):
                self._written[lead_id] = digest
                lines.append(line)
        answers = [each.status for refusal in refusals for each in refusal.answers]
        head = json.dumps({"round": seed, "refusals": answers}, separators=(",", ":"))
        await asyncio.to_thread(_write, path, [head, *lines])
        return len(lines)

    def _trace(self, lead_id: str, lead: Lead | None) -> dict[str, Any]:
        moments = sorted(self._moments.get(lead_id, {}).values(), key=lambda each: each.at)
        found: dict[str, Any] = {
            "lead": lead_id,
            "posts": _posts(lead) if lead else [],
            "topics": self._records.get(lead_id, {}),
            "moments": [[each.observer, *each.labels] for each in moments],
        }
        if lead:
            found["spam"] = lead.spam
            found["bodies"] = [hashlib.md5(each.message.encode()).hexdigest() for each in lead.bodies]  # noqa: S324
            found["admin"] = [[name, status] for name, status in lead.changes]
        return found

    async def _read_topics(self) -> None:
        bootstrap = self.environment.kafka.bootstrap_servers
        consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, enable_auto_commit=False)
        await consumer.start()
        try:
            for name, topic in _TOPICS.items():
                places = [TopicPartition(topic, number) for number in range(6)]
                consumer.assign(places)
                ends = await consumer.end_offsets(places)
                for place in places:
                    consumer.seek(place, self._read.get((topic, place.partition), 0))
                    while await consumer.position(place) < ends[place]:
                        for part in (await consumer.getmany(place, timeout_ms=1000)).values():
                            for record in part:
                                self._note_record(name, record)
                    self._read[topic, place.partition] = ends[place]
        finally:
            await consumer.stop()

    def _note_record(self, name: str, record: Any) -> None:
        headers = {key: (value or b"").decode(errors="replace") for key, value in record.headers}
        lead_id = (record.key or b"").decode(errors="replace")
        try:
            value = json.loads(record.value or b"")
            found = dict(value) if isinstance(value, dict) else {}
        except ValueError:
            found = {}
        if name == "received":
            # Not the message, but its hash: the same as of the row.
            message = str(found.get("message", "")).encode()
            note = [hashlib.md5(message).hexdigest()]  # noqa: S324 - an id, not a secret
        elif name == "changed":
            note = [str(found.get("event_id")), str(found.get("to_status"))]
        elif name == "audit":
            # The entry's id is derived from the event's, so that nobody can take another entry's id.
            event = str(found.get("event"))
            event_id = UUID(str(found.get("event_id") or UUID(int=0)))
            lead_id, note = str(uuid5(event_id, event)), [event]
        else:
            names = ("fastcore-event-id", "fastcore-stage", "fastcore-kind", "fastcore-final")
            note = [headers.get(each, "") for each in names]
        self._records.setdefault(lead_id, {}).setdefault(name, []).append(note)

    async def _read_changes(self) -> None:
        for row in await self.environment.sql(_CHANGES, self._last_change):
            self._last_change = row["id"]
            of_lead = self._moments.setdefault(row["lead_id"], {})
            moment = of_lead.setdefault(row["transaction"], Moment(row["at"], "database", []))
            moment.labels.append(row["label"])

    def _read_arrivals(self) -> None:
        arrived = self.environment.arrived[self._mails :]
        self._mails += len(arrived)
        for number, mail in enumerate(arrived, start=self._mails):
            moments = self._moments.setdefault(mail.lead_id, {})
            moments[f"mail {number}"] = Moment(mail.at, "mail server", [mail.kind, mail.message_id])
        events = list(self.environment.receiver.arrivals.events.values())[self._events :]
        self._events += len(events)
        for event in events:
            moments = self._moments.setdefault(event.lead_id, {})
            moments[event.id] = Moment(event.at, "destination", [event.id, event.name])


def _write(path: Path, lines: list[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(("\n".join(lines) + "\n").encode()))  # a tenth of the size


def _posts(lead: Lead) -> list[list[Any]]:
    """Return the responses to a lead's posts in their order: the number of the body, and the status."""
    answers = [
        (each.at + each.seconds, number, each.status)
        for number, body in enumerate(lead.bodies)
        for each in body.answers
    ]
    return [[number, status] for _, number, status in sorted(answers)]
