"""Decoding a batch of records."""

from types import SimpleNamespace
from typing import Any
from uuid import UUID

from contracts import topics
from contracts.failures import failure_event_id
from services.persister.batch import decode_batch


def refusal(offset: int, event_id: UUID) -> Any:
    value = (
        f'{{"event_id": "{event_id}", "occurred_at": "2026-01-01T00:00:00Z", "event": "lead.rejected",'
        ' "actor": "www", "status_code": 422}'
    )
    return SimpleNamespace(
        topic=topics.AUDIT.name, partition=0, offset=offset, timestamp=0, value=value.encode(), headers=()
    )


def test_regression_a_producer_cannot_choose_the_id_of_an_audit_entry() -> None:
    lead = SimpleNamespace(topic=topics.RECEIVED.name, partition=0, offset=16, timestamp=1)
    guessed = failure_event_id(lead, "persister", "store")
    first, again = (entry for _, entry in decode_batch([refusal(1, guessed), refusal(2, guessed)]).entries)
    assert first.event_id != guessed
    assert first.event_id == again.event_id
