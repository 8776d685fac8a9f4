"""Invalid records for `leads.received.v1`, and the expected result of each kind."""

import json
import random
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

from aiokafka import AIOKafkaProducer

RECEIVED = "leads.received.v1"
MEGABYTE = 1_000_000


@dataclass(frozen=True)
class Poison:
    """One record as it was produced."""

    key: bytes | None
    value: bytes | None


@dataclass
class Poisoner:
    """Produces poison records without the gateway, and keeps them for the checks."""

    bootstrap_servers: str
    undecodable: list[Poison] = field(default_factory=list)  # expected in leads.dead.v1, byte for byte
    unstorable: dict[str, Poison] = field(default_factory=dict)  # decodable, but the database refuses it
    odd: set[str] = field(default_factory=set)  # good leads with unusual headers

    async def produce(self, rng: random.Random, count: int) -> None:
        """Write `count` records, alternating all kinds, to partitions drawn from the seed."""
        producer = AIOKafkaProducer(
            bootstrap_servers=self.bootstrap_servers, acks="all", max_request_size=4 << 20
        )
        await producer.start()
        try:
            for number in range(count):
                await self._one(producer, rng, number % 7)
        finally:
            await producer.stop()

    async def _one(self, producer: AIOKafkaProducer, rng: random.Random, kind: int) -> None:
        lead_id = str(uuid4())
        headers: list[tuple[str, bytes | None]] = []
        name = lead_id.encode()
        if kind == 0:
            value: bytes | None = b"\x00\xff no JSON " + name
        elif kind == 1:
            value = _lead(lead_id, schema_version=2)
        elif kind == 2:
            value = None
        elif kind == 3:
            value = b'{"x":"' + name + b"y" * MEGABYTE + b'"}'
        elif kind == 4:
            value = _lead(lead_id, lead_id="no uuid " + lead_id)
        elif kind == 5:
            value, headers = _lead(lead_id), [("note", b"\xff\xfe"), ("null", None), ("n", bytes(8))]
        else:
            value = _lead(lead_id, name="Nul \x00 " + lead_id)
        await producer.send_and_wait(RECEIVED, value, key=name, partition=rng.randrange(6), headers=headers)
        poison = Poison(name, value)
        if kind == 5:
            self.odd.add(lead_id)
        elif kind == 6:
            self.unstorable[lead_id] = poison
        else:
            self.undecodable.append(poison)


def _lead(named: str, **changes: Any) -> bytes:
    """Return an event like the golden messages, without the model of the services."""
    fields = {
        "schema_version": 1,
        "event_id": str(UUID(int=uuid4().int)),
        "occurred_at": "2024-01-03T10:30:45.123456Z",
        "lead_id": named,
        "request_id": named,
        "site": "default",
        "body_sha256": "ab" * 32,
        "name": "Odd One",
        "email": f"{named}@mail.example",
        "service": "Fault suite",
        "message": f"Produced as {named}",
    }
    return json.dumps(fields | changes).encode()
