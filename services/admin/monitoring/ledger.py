"""Compares the counts in the ledger with the rows of the tables. No I/O.

Each stage counts its records in the ledger. The counts and the rows are read from one database snapshot, so a
difference is a fault, not a delay. Consumer lag and spools are not compared, because they cannot be read in
the same snapshot.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from contracts import topics
from services.admin.schemas.ledger import Books, Identity, StageTotals

OUTCOMES: Final = ("stored", "duplicate", "parked", "undecodable", "missing", "canary")


@dataclass(frozen=True)
class TopicCounts:
    """The number of records of one topic that a stage has processed, by outcome.

    The counts are sums over rows of `partition_ledger`. `offsets` is the sum of `next_offset` -
    `base_offset`. The numbers of all outcomes must add up to `offsets`.
    """

    stage: str
    topic: str
    offsets: int
    stored: int
    duplicate: int
    parked: int
    undecodable: int
    missing: int
    canary: int = 0

    @property
    def counted(self) -> int:
        """Return the number of records with an outcome."""
        return sum(getattr(self, name) for name in OUTCOMES)


@dataclass(frozen=True)
class LedgerCounts:
    """Counts from one database snapshot.

    - `topics` has the ledger's counts for each stage and topic.
    - `leads` is the number of rows of `lead_inbox`. A lead that was erased before it was stored is not
      counted.
    - `queue` and `emails` are the numbers of rows of `replay_queue` and `email_delivery` by state.
    - `deliveries` is the number of rows of `webhook_delivery` by state. `waiting` stands for the states
      pending, failed and sending.
    - `deliveries_wanted` is the sum of `delivery_count` over all events.
    """

    topics: tuple[TopicCounts, ...]
    leads: int
    queue: dict[str, int]
    queue_by_others: int  # rows made by an admin or a site pull, not from the failed topic
    emails: dict[str, int]
    deliveries: dict[str, int] = field(default_factory=dict)
    deliveries_wanted: int = 0
    changes_written: int = 0  # rows that were ever inserted into lead_event_outbox
    changes_published: int = 0  # rows that the relay deleted, because Kafka has acknowledged them
    changes_waiting: int = 0  # rows now


_LEAD_TOPICS: Final = (topics.RECEIVED.name, topics.RETRY_PERSISTER.name)
_MAIL_TOPICS: Final = (topics.RECEIVED.name, topics.RETRY_NOTIFIER.name)


def compare(counts: LedgerCounts) -> Books:
    """Compare counts in the ledger with counts of rows, in pairs that must be equal. Return the result."""
    stages = sorted({each.stage for each in counts.topics})
    totals = [
        _stage_totals(stage, [each for each in counts.topics if each.stage == stage]) for stage in stages
    ]
    queue_rows, email_rows = sum(counts.queue.values()), sum(counts.emails.values())
    failures = _stored(counts.topics, "flusher", (topics.FAILED.name,))
    identities = [
        _identity(
            ("persister", "leads"),
            (_stored(counts.topics, "persister", _LEAD_TOPICS), "stored, of the received and retry topics"),
            (counts.leads, "rows of lead_inbox, but those erased before they were stored"),
        ),
        _identity(
            ("flusher", "queue"),
            (
                failures + counts.queue_by_others,
                "stored, of the failed topic, and made by an admin or a site pull",
            ),
            (queue_rows, "rows of replay_queue, in all states"),
        ),
        _identity(
            ("notifier", "mails"),
            (2 * _stored(counts.topics, "notifier", _MAIL_TOPICS), "2 x stored: a welcome and an alert each"),
            (email_rows, "rows of email_delivery, in all states"),
        ),
        _identity(
            ("webhooks", "deliveries"),
            (counts.deliveries_wanted, "wanted: the destinations of each event"),
            (sum(counts.deliveries.values()), "rows of webhook_delivery, in all states"),
        ),
        _identity(
            ("flusher", "changes"),
            (counts.changes_written, "rows ever written into lead_event_outbox"),
            (counts.changes_published + counts.changes_waiting, "rows published, and those that wait"),
        ),
    ]
    # For every stage: each record that it consumed has one outcome.
    for total in totals:
        counted = sum(each.counted for each in counts.topics if each.stage == total.stage)
        identities.append(
            _identity(
                (total.stage, "records"),
                (counted, "records with an outcome"),
                (total.records, "records taken: next less base offset"),
            )
        )
    return Books(
        balanced=all(identity.balanced for identity in identities),
        identities=identities,
        stages=totals,
        queue_states=counts.queue,
        email_states=counts.emails,
        delivery_states=counts.deliveries,
    )


def _stored(counts: Iterable[TopicCounts], stage: str, names: tuple[str, ...]) -> int:
    # Compare the end of the name: an installation may have a topic prefix.
    return sum(each.stored for each in counts if each.stage == stage and each.topic.endswith(names))


def _stage_totals(stage: str, counts: list[TopicCounts]) -> StageTotals:
    sums = {name: sum(getattr(each, name) for each in counts) for name in OUTCOMES}
    return StageTotals(stage=stage, records=sum(each.offsets for each in counts), **sums)


def _identity(of: tuple[str, str], books: tuple[int, str], rows: tuple[int, str]) -> Identity:
    difference = books[0] - rows[0]
    return Identity(
        stage=of[0],
        name=of[1],
        books=books[0],
        books_are=books[1],
        rows=rows[0],
        rows_are=rows[1],
        difference=difference,
        balanced=difference == 0,
    )
