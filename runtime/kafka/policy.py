"""The limits and timeouts of a consumer, and the reason for each number."""

from dataclasses import dataclass

from runtime.failures import Backoff
from runtime.kafka.broker import SILENCE_SECONDS


@dataclass(frozen=True)
class Policy:
    """The limits and timeouts of a consumer.

    All steps of a stop must fit into the container's grace period of 60 s; ARCHITECTURE.md ("Stopping") adds
    them up.
    """

    # A batch does not wait to fill up: records that arrive while one batch is processed are the next batch.
    # Waiting 20 ms for more made the latency at 300 leads a second six times that of a bare loop, instead of
    # about twice.
    max_records: int = 500
    # How long a broker may hold a fetch that finds nothing. Until the broker answers, aiokafka sends it no
    # other fetch, so new records of partitions that the fetch leaves out wait. With the default of 500 ms,
    # the median latency at 300 leads a second was 200 ms.
    fetch_wait_seconds: float = 0.05
    # The same for a fetch that leaves no partition out: the broker answers it as soon as a record is there.
    # It is half of `prefetch.GAP_MS`. With 50 ms, idle consumers and Kafka used several times the processor.
    idle_fetch_seconds: float = 1.0
    # A longer poll is cancelled, so that readiness, the watchdog and a stop are not delayed.
    take_seconds: float = 5.0
    # How often the consumer polls during a batch or a pause. Without a poll the group would remove the member
    # after max.poll.interval.
    keepalive_seconds: float = 1.0
    max_poll_seconds: float = 300.0
    # How long a rebalance or a stop waits for the current batch: a mail takes up to 45 s. It is below the
    # rebalance timeout. What closes afterwards (5 s here, 3 s publisher, 3 s pool, 1.5 s spans) still fits
    # into the grace period of 60 s.
    drain_seconds: float = 46.0
    stop_seconds: float = 5.0
    commit_seconds: float = 10.0
    # Nobody reads the partitions of a killed member for this time. The pipeline is promised to be drained
    # within 60 s, even if two members die in a row: 2 x 10 s and two starts. The time must not be shorter: it
    # allows for three lost heartbeats (sent every 3 s). A member that is removed wrongly costs a rebalance,
    # but no lead.
    session_seconds: float = 10.0
    rebalance_seconds: float = 60.0
    # A consumer that no broker has answered for this time is replaced: its brokers may have moved.
    silence_seconds: float = SILENCE_SECONDS
    # Above both timeouts: a start waits for members that died, and a start that gives up leaves a dead one.
    start_seconds: float = 90.0
    backoff: Backoff = Backoff()  # noqa: RUF009 - frozen
