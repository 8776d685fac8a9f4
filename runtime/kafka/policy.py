"""The numbers by which records are taken, and why each is what it is. Nothing is done here."""

from dataclasses import dataclass

from runtime.failures import Backoff
from runtime.workarounds.aiokafka_rebootstrap import SILENCE_SECONDS


@dataclass(frozen=True)
class Policy:
    """How records are taken. The drain inequality stands in ARCHITECTURE.md."""

    # Nothing waits for a batch to fill: what comes while one is handled is the next. Waiting 20 ms for more
    # made a lead's way at 300 a second six times that of a bare loop; now it is some two.
    max_records: int = 500
    # How long a broker may keep a fetch that finds nothing. aiokafka sends it no other meanwhile, and while
    # records wait for us it asks without their partitions: at 300 leads a second that was for idle topics
    # only, and every new lead waited for its end (with the usual 500 ms the median was 200 ms).
    fetch_wait_seconds: float = 0.05
    # A poll that lasts longer is given up: readiness, the watchdog and a stop must have their turn.
    take_seconds: float = 5.0
    # While a handler or a pause lasts we poll this often, or the group would throw us out after
    # max.poll.interval without a poll.
    keepalive_seconds: float = 1.0
    max_poll_seconds: float = 300.0
    # How long a rebalance or a stop waits for the batch in hand: a mail (45 s), below the rebalance
    # timeout. With what closes after it (5 s here, 3 s publisher, 3 s pool, 1.5 s spans) it stays below the
    # grace of 60 s.
    drain_seconds: float = 46.0
    stop_seconds: float = 5.0
    commit_seconds: float = 10.0
    # A member that was killed is missed for this long, and nobody reads its partitions: all of what is in
    # Kafka then waits. Two deaths in a row must stay below the 60 s in which we promise quiet: 2 x 10 s and
    # the two starts. Not shorter: three heartbeats (3 s each, aiokafka's own task, also while a handler
    # or a pause lasts) may be lost before it, and a member thrown out wrongly costs a rebalance, no lead.
    session_seconds: float = 10.0
    rebalance_seconds: float = 60.0
    # A consumer that no broker has answered for so long is replaced: its brokers may have moved.
    silence_seconds: float = SILENCE_SECONDS
    # Above both: a start waits for members that died, and one that gives up is another of them.
    start_seconds: float = 90.0
    backoff: Backoff = Backoff()  # noqa: RUF009 - frozen
