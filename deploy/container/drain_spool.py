"""`python -m deploy.container.drain_spool --wait-seconds N`: wait until this gateway's spool is empty.

A preStop hook runs this program. While it waits, the gateway publishes the leads in its spool. Kubernetes
sends SIGTERM to the gateway only after this program has ended.
"""

import json
import sys
import time
from typing import Annotated, Final
from urllib.error import URLError
from urllib.request import urlopen

import typer

from runtime.settings import Http, load
from services.roles import PORTS

# After Kubernetes marks a pod as terminating, requests still arrive for some seconds.
QUIET_SECONDS: Final = 5.0
# A gateway that does not answer for so long will not empty its spool.
SILENCE_SECONDS: Final = 10.0
REQUEST_SECONDS: Final = 2.0


def read_depth(url: str) -> int | None:
    """Return how many leads are in the spool, or None if the gateway does not answer."""
    try:
        with urlopen(url, timeout=REQUEST_SECONDS) as response:  # noqa: S310 - always a loopback URL
            return int(json.load(response)["spool"]["depth"])
    except (URLError, OSError, ValueError, KeyError):
        return None


def wait_until_empty(url: str, seconds: float, quiet_seconds: float = QUIET_SECONDS) -> int | None:
    """Wait until the spool is empty. Return the number of leads that the gateway reported last.

    Waits at least `quiet_seconds`, because new requests may still arrive, and at most `seconds`. Returns
    None if the gateway does not answer.
    """
    started_at = answered_at = time.monotonic()
    depth: int | None = None
    while (now := time.monotonic()) < started_at + seconds:
        current = read_depth(url)
        if current is not None:
            depth, answered_at = current, now
        elif now - answered_at > SILENCE_SECONDS:
            return None
        if depth == 0 and now - started_at >= quiet_seconds:
            break
        time.sleep(0.5)
    return depth


def main(
    wait_seconds: Annotated[float, typer.Option(help="The longest time to wait.")],
) -> None:
    """Wait until the gateway on this machine has published its spool."""
    http = load(Http)
    port = http.ports_by_service.get("ingest") or http.port or PORTS["ingest"]
    depth = wait_until_empty(f"http://127.0.0.1:{port}/internal/status", wait_seconds)
    if depth is None:
        sys.exit("the gateway does not answer: its spool may contain leads, so keep its volume")
    if depth:
        sys.exit(
            f"spool not empty: {depth} leads are on this gateway's volume only: keep it, and start it again"
        )
    print("spool empty")


if __name__ == "__main__":
    typer.run(main)
