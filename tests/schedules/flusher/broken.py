"""Faults of the flusher, each put into the product: a few schedules must find them."""

import contextlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final
from uuid import UUID

from contracts.audit import AuditRecorded
from runtime.database.audit_log import append_entries
from runtime.failures import Failure
from services.flusher import store
from services.flusher.jobs.outbox_relay import OutboxRelay
from services.flusher.publisher import ReplayPublisher
from services.flusher.retries.retry_rules import OutgoingRecord
from tests.schedules.known_fault import Broken
from tests.schedules.plan import Event
from tests.schedules.webhooks.faults import CHANGES

FAILURES: Final = ("failure",) * 8
_CONTACTED: Final = float(CHANGES.index("contacted"))
_send: Any = OutboxRelay._send
_send_retry: Any = ReplayPublisher._send


async def _nothing(*_: Any, **__: Any) -> None: ...


async def _append_none(*_: Any, **__: Any) -> set[UUID]:
    return set()


async def _append_and_call_all_new(connection: Any, entries: Sequence[AuditRecorded]) -> set[UUID]:
    await append_entries(connection, entries)
    return {entry.event_id for entry in entries}


async def _send_without_end(self: Any, record: OutgoingRecord) -> None:
    await _send_retry(self, replace(record, value=record.value and record.value[:-1]))


async def _send_and_forget(self: Any, event: Any) -> None:
    with contextlib.suppress(Failure):
        await _send(self, event)


FLUSHER_BROKEN: Final[dict[str, Broken]] = {
    "failures-not-stored": Broken(
        ((store, "append_entries", _append_none),),
        [Event(5, "publish", shapes=FAILURES)],
        "is stored",
        stage="flusher",
    ),
    "retries-marked-unsent": Broken(
        ((ReplayPublisher, "_send", _nothing),),
        [Event(5, "publish", shapes=FAILURES)],
        "and Kafka has 0",
        stage="flusher",
    ),
    "retries-cut-off": Broken(
        ((ReplayPublisher, "_send", _send_without_end),),
        [Event(5, "publish", shapes=FAILURES)],
        "with other bytes",
        stage="flusher",
    ),
    "dead-letters-unpublished": Broken(
        ((ReplayPublisher, "publish_dead_letters", _nothing),),
        [Event(5, "publish", shapes=("final_failure", *FAILURES))],
        "without a dead letter",
        stage="flusher",
    ),
    "repeated-failure-is-new": Broken(
        ((store, "append_entries", _append_and_call_all_new),),
        [Event(5, "publish", shapes=FAILURES), Event(210, "publish", shapes=("failure_again",) * 12)],
        "was sent",
        stage="flusher",
    ),
    "changes-leave-outbox-unpublished": Broken(
        ((OutboxRelay, "_send", _send_and_forget),),
        [
            Event(5, "publish", shapes=FAILURES),
            Event(7, "silence_broker", (0, 30)),
            *(Event(7.2 + 0.1 * n, "change_lead", (n, _CONTACTED)) for n in range(8)),
        ],
        "are lost",
        stage="flusher",
        seeds=range(1, 8),
    ),
}
