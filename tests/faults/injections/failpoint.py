"""Runs a service that kills itself: `python -m tests.faults.injections.failpoint NAME PLACE`."""

import importlib
import os
import signal
import sys

import services.__main__

# The last completed step -> the step that is prevented.
FAILPOINTS = {
    "offset commit": (
        "runtime.kafka.offset_commits",
        "OffsetCommits",
        "_commit",
    ),  # effect committed -> offset
    "mail settled": ("services.notifier.store", "Store", "settle"),  # 250 after the dot -> sent
    "replay noted": (
        "services.flusher.retries.retry_claims",
        "Claim",
        "_mark_sent",
    ),  # acknowledged by Kafka -> replaying
}


async def _die(*_: object, **__: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def main(name: str, place: str) -> None:
    """Run the service until it reaches the failpoint."""
    module, owner, method = FAILPOINTS[place]
    found = getattr(importlib.import_module(module), owner)
    assert hasattr(found, method), f"{owner} has no {method} any more"
    setattr(found, method, _die)
    services.__main__.main(name)


if __name__ == "__main__":
    main(*sys.argv[1:])
