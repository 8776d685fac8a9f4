"""Runs a service that kills itself: `python -m tests.faults.injections.failpoint NAME PLACE`."""

import importlib
import inspect
import os
import signal
import sys
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import services.__main__
from tests.faults.injections import name_service

# What a round has to do so that a service comes to the failpoint. Other tests reach the `rare` ones.
Reached = Literal["by the load", "without kafka", "by a website's queue", "by the seal", "rare"]


class Failpoint(NamedTuple):
    """A function of the product, and which services die there: before it begins, or `after` it returned."""

    module: str
    owner: str | None  # a class, or an object of the module; None: the module itself
    method: str
    services: tuple[str, ...]
    after: bool = False
    reached: Reached = "by the load"


_PUBLISHER, _WRITER, _SPOOL = (
    "services.ingest.publisher",
    "services.ingest.lead_writer",
    "services.ingest.spool.spool",
)
_NOTIFIER, _DIGESTS = "services.notifier.store", "services.notifier.digests.digest_store"
_CLIENTS, _IMPORT = (
    "services.flusher.site_queues.clients",
    "services.flusher.site_queues.site_queue_import",
)
_SEAL = "services.flusher.jobs.audit_seal"
_OUTBOX = "services.flusher.jobs.outbox_relay"

# By the step that is prevented, or that is the last one; behind it, what happened -> what does not happen.
FAILPOINTS = {
    # Kafka's acknowledgement -> the 201
    "answer to a published lead": Failpoint(_PUBLISHER, "LeadPublisher", "publish", ("ingest",), after=True),
    # fsynced -> the 201
    "answer to a spooled lead": Failpoint(
        _SPOOL, "Spool", "append", ("ingest",), after=True, reached="without kafka"
    ),
    # a spooled lead acknowledged by Kafka -> counted as published
    "spooled lead published": Failpoint(
        _WRITER, "LeadWriter", "_publish_spooled", ("ingest",), after=True, reached="without kafka"
    ),
    # all leads of a file acknowledged by Kafka -> the file removed
    "spool file removed": Failpoint(_SPOOL, "Spool", "_remove_segment", ("ingest",), reached="without kafka"),
    # records read -> rows
    "leads stored": Failpoint("services.persister.store", "Store", "save", ("persister",)),
    # effect committed -> offset
    "offset commit": Failpoint(
        "runtime.kafka.offset_commits",
        "OffsetCommits",
        "_commit",
        ("persister", "notifier", "webhooks", "flusher"),
    ),
    # mails reserved -> connection to the mail server
    "mails sent": Failpoint(_NOTIFIER, "Store", "reserve", ("notifier",), after=True),
    # envelope accepted -> sending
    "mail begun": Failpoint(_NOTIFIER, "Store", "begin_sending", ("notifier",)),
    # sending committed -> body
    "mail body": Failpoint(_NOTIFIER, "Store", "begin_sending", ("notifier",), after=True),
    # 250 after the dot -> sent
    "mail outcome stored": Failpoint(_NOTIFIER, "Store", "write_outcome", ("notifier",)),
    # alerts collected -> their digest
    "digest made": Failpoint(_DIGESTS, "DigestStore", "make_digests", ("notifier",)),
    # envelope accepted -> sending
    "digest begun": Failpoint(_DIGESTS, "DigestStore", "begin_sending", ("notifier",)),
    # sending committed -> body
    "digest body": Failpoint(_DIGESTS, "DigestStore", "begin_sending", ("notifier",), after=True),
    # 250 after the dot -> sent
    "digest outcome stored": Failpoint(_DIGESTS, "DigestStore", "end", ("notifier",)),
    # failure read -> row of the replay queue
    "failures stored": Failpoint("services.flusher.store", "Store", "store_failures", ("flusher",)),
    # acknowledged by Kafka -> replaying
    "replay noted": Failpoint("services.flusher.retries.retry_claims", "Claim", "_mark_sent", ("flusher",)),
    # record read -> deliveries
    "deliveries stored": Failpoint("services.webhooks.store", "Store", "save", ("webhooks",)),
    # claimed -> request
    "request": Failpoint("services.webhooks.client", "DestinationClient", "send", ("webhooks",)),
    # response -> delivered
    "outcome stored": Failpoint("services.webhooks.store", "Store", "record_outcome", ("webhooks",)),
    # failed notifications read -> their event in the outbox
    "alerts reported": Failpoint(
        "services.flusher.jobs.alert_escalation", "SQL", "insert_escalation", ("flusher",), reached="rare"
    ),
    # row of the outbox locked -> its event in Kafka
    "event published": Failpoint(_OUTBOX, "OutboxRelay", "_send", ("flusher",)),
    # acknowledged by Kafka -> row of the outbox deleted
    "event deleted": Failpoint(_OUTBOX, "SQL", "delete_events", ("flusher",)),
    # entry of a website's queue read -> posted
    "queued lead posted": Failpoint(
        _CLIENTS, "SiteQueueClient", "submit", ("flusher",), reached="by a website's queue"
    ),
    # the gateway's 201 -> removed from the website's queue
    "queued lead removed": Failpoint(
        _CLIENTS, "SiteQueueClient", "remove", ("flusher",), reached="by a website's queue"
    ),
    # removed -> counted and audited
    "removal counted": Failpoint(
        _CLIENTS, "SiteQueueClient", "remove", ("flusher",), after=True, reached="by a website's queue"
    ),
    # refused by the gateway -> row of the replay queue
    "refused lead stored": Failpoint(
        _IMPORT, "SQL", "keep_refused", ("flusher",), reached="by a website's queue"
    ),
    # erased inside the transaction -> committed
    "erasure committed": Failpoint("runtime.database.erasure", "SQL", "erase_lead", ("admin",), after=True),
    # committed -> answered
    "erasure answered": Failpoint("services.admin.store.privacy.erasure", None, "kafka_keeps", ("admin",)),
    # changed inside the transaction, with its entry and its event -> committed
    "status committed": Failpoint(
        "services.admin.store.leads.leads", None, "change_statuses", ("admin",), after=True
    ),
    # entries read -> tiles
    "tiles stored": Failpoint(_SEAL, None, "_store_tiles", ("flusher",), reached="by the seal"),
    # tiles -> checkpoint, both in one transaction
    "checkpoint stored": Failpoint(_SEAL, "SQL", "insert_checkpoint", ("flusher",), reached="by the seal"),
    # both -> committed
    "seal committed": Failpoint(
        _SEAL, "SQL", "insert_checkpoint", ("flusher",), after=True, reached="by the seal"
    ),
    # committed -> the checkpoint's file
    "checkpoint written": Failpoint(
        "services.flusher.jobs.audit_checkpoint_file",
        "CheckpointFile",
        "write",
        ("flusher",),
        reached="by the seal",
    ),
}


def _die(*_: object, **__: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


async def _die_awaited(*_: object, **__: object) -> None:
    _die()


def _die_after(function: Callable[..., Any]) -> Callable[..., Any]:
    async def run(*arguments: Any, **named: Any) -> None:
        await function(*arguments, **named)
        _die()

    return run


def main(name: str, place: str) -> None:
    """Run the service until it reaches the failpoint."""
    point = FAILPOINTS[place]
    module = importlib.import_module(point.module)
    found = getattr(module, point.owner) if point.owner else module
    function = getattr(found, point.method)
    if point.after:
        replacement: Callable[..., Any] = _die_after(function)
    else:
        replacement = _die_awaited if inspect.iscoroutinefunction(function) else _die
    setattr(found, point.method, replacement)
    if name_service.VARIABLE in os.environ:
        name_service.install()
    services.__main__.main(name)


if __name__ == "__main__":
    main(*sys.argv[1:])
