"""`python -m deploy.container.drain_spool --wait-seconds N`: wait until this gateway's spool is empty.

Meant for a preStop hook: the gateway beside it still runs and publishes; it gets its SIGTERM when this ends.
"""

import json
import sys
import time
from typing import Annotated, Final
from urllib.error import URLError
from urllib.request import urlopen

import typer

from runtime.settings import Http, load
from services.__main__ import PORTS

# Requests still come for some seconds after a pod is marked, until every proxy knows.
SETTLE_SECONDS: Final = 5.0
# A gateway that says nothing for so long is not going to empty anything.
SILENCE_SECONDS: Final = 10.0
ASK_SECONDS: Final = 2.0


def ask_depth(url: str) -> int | None:
    """Return how many leads are in the spool, or None where the gateway does not say."""
    try:
        with urlopen(url, timeout=ASK_SECONDS) as answer:  # noqa: S310 - our own loopback URL
            return int(json.load(answer)["spool"]["depth"])
    except (URLError, OSError, ValueError, KeyError):
        return None


def wait(url: str, seconds: float, settle_seconds: float = SETTLE_SECONDS) -> int | None:
    """Wait until the spool is empty, or the time is over; return the last depth known."""
    begun = heard = time.monotonic()
    depth: int | None = None
    while (now := time.monotonic()) < begun + seconds:
        known = ask_depth(url)
        if known is not None:
            depth, heard = known, now
        elif now - heard > SILENCE_SECONDS:
            return None
        if depth == 0 and now - begun >= settle_seconds:
            break
        time.sleep(0.5)
    return depth


def main(
    wait_seconds: Annotated[float, typer.Option(help="How long to wait at most.")],
) -> None:
    """Wait until the gateway on this machine has published all that it had spooled."""
    port = load(Http).port or PORTS["ingest"]
    depth = wait(f"http://127.0.0.1:{port}/internal/status", wait_seconds)
    if depth is None:
        sys.exit("the gateway does not answer: what its spool holds is unknown, keep its volume")
    if depth:
        sys.exit(f"spool not empty: {depth} leads are on this gateway's volume only: keep it, start it again")
    print("spool empty")


if __name__ == "__main__":
    typer.run(main)
