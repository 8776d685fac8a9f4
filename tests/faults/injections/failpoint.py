"""Runs a service that kills itself: `python -m tests.faults.injections.failpoint NAME PLACE`."""

import importlib
import os
import signal
import sys

import services.__main__
from tests.faults.injections import name_service

# The last completed step -> the step that is prevented.
FAILPOINTS = {
    "offset commit": (
        "runtime.kafka.offset_commits",
        "OffsetCommits",
        "_commit",
    ),  # effect committed -> offset
    "mail outcome stored": ("services.notifier.store", "Store", "write_outcome"),  # 250 after the dot -> sent
    "digest begun": (
        "services.notifier.digests.digest_store",
        "DigestStore",
        "begin_sending",
    ),  # envelope accepted -> sending
    "digest outcome stored": (
        "services.notifier.digests.digest_store",
        "DigestStore",
        "end",
    ),  # 250 after the dot -> sent
    "replay noted": (
        "services.flusher.retries.retry_claims",
        "Claim",
        "_mark_sent",
    ),  # acknowledged by Kafka -> replaying
    "deliveries stored": ("services.webhooks.store", "Store", "save"),  # record read -> deliveries
    "request": ("services.webhooks.client", "DestinationClient", "send"),  # claimed -> request
    "outcome stored": ("services.webhooks.store", "Store", "record_outcome"),  # response -> delivered
    "alerts reported": (
        "services.flusher.jobs.alert_escalation",
        "SQL",
        "insert_escalation",
    ),  # failed notifications read -> their event in the outbox
    "event published": (
        "services.flusher.jobs.outbox_relay",
        "OutboxRelay",
        "_send",
    ),  # row of the outbox locked -> its event in Kafka
    "event deleted": (
        "services.flusher.jobs.outbox_relay",
        "SQL",
        "delete_events",
    ),  # acknowledged by Kafka -> row of the outbox deleted
}


async def _die(*_: object, **__: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def main(name: str, place: str) -> None:
    """Run the service until it reaches the failpoint."""
    module, owner, method = FAILPOINTS[place]
    found = getattr(importlib.import_module(module), owner)
    assert hasattr(found, method), f"{owner} has no {method} any more"
    setattr(found, method, _die)
    if name_service.VARIABLE in os.environ:
        name_service.install()
    services.__main__.main(name)


if __name__ == "__main__":
    main(*sys.argv[1:])
