"""The books: identities between what the stages counted and what the tables hold, of one moment.

Pure: the counts come from one database snapshot, so a difference is a fault, not a delay. Lag, spool
and what is on the way are readings; they stand beside the books, not in them.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from pydantic import BaseModel

from contracts import topics


@dataclass(frozen=True)
class Page:
    """The sums of one stage's pages of one topic, over partitions and epochs."""

    stage: str
    topic: str
    offsets: int
    stored: int
    duplicate: int
    parked: int
    undecodable: int
    missing: int

    @property
    def counted(self) -> int:
        """Return how many records have an outcome."""
        return self.stored + self.duplicate + self.parked + self.undecodable + self.missing


@dataclass(frozen=True)
class Counts:
    """What one snapshot holds: the pages, and the rows of each table by state."""

    pages: tuple[Page, ...]
    leads: int
    queue: dict[str, int]
    queue_by_others: int  # rows made by an admin or a site pull, not from the failed topic
    emails: dict[str, int]


class Identity(BaseModel):
    """Two counts that must be the same. `difference` is the books less the rows."""

    stage: str
    name: str
    books: int
    books_are: str
    rows: int
    rows_are: str
    difference: int
    balanced: bool


class StageTotals(BaseModel):
    """What became of every record that a stage took."""

    stage: str
    records: int
    stored: int
    duplicate: int
    parked: int
    undecodable: int
    missing: int


class Books(BaseModel):
    """All identities and totals. `balanced` is true where every identity is."""

    balanced: bool
    identities: list[Identity]
    stages: list[StageTotals]
    email_states: dict[str, int]
    queue_states: dict[str, int]


_LEAD_TOPICS: Final = (topics.RECEIVED.name, topics.RETRY_PERSISTER.name)
_MAIL_TOPICS: Final = (topics.RECEIVED.name, topics.RETRY_NOTIFIER.name)


def balance(counts: Counts) -> Books:
    """Compare the books with the rows."""
    stages = sorted({page.stage for page in counts.pages})
    totals = [_totals(stage, [page for page in counts.pages if page.stage == stage]) for stage in stages]
    queue_rows, email_rows = sum(counts.queue.values()), sum(counts.emails.values())
    taken = _stored(counts.pages, "flusher", (topics.FAILED.name,))
    identities = [
        _identity(
            ("persister", "leads"),
            (_stored(counts.pages, "persister", _LEAD_TOPICS), "stored, of the received and retry topics"),
            (counts.leads, "rows of lead_inbox, but those erased before they were stored"),
        ),
        _identity(
            ("flusher", "queue"),
            (
                taken + counts.queue_by_others,
                "stored, of the failed topic, and made by an admin or a site pull",
            ),
            (queue_rows, "rows of replay_queue, in all states"),
        ),
        _identity(
            ("notifier", "mails"),
            (2 * _stored(counts.pages, "notifier", _MAIL_TOPICS), "2 x stored: a welcome and an alert each"),
            (email_rows, "rows of email_delivery, in all states"),
        ),
    ]
    # Of every stage, too: each record that it took has one outcome.
    for total in totals:
        pages = [page for page in counts.pages if page.stage == total.stage]
        identities.append(
            _identity(
                (total.stage, "records"),
                (sum(page.counted for page in pages), "records with an outcome"),
                (total.records, "records taken: next less base offset"),
            )
        )
    return Books(
        balanced=all(each.balanced for each in identities),
        identities=identities,
        stages=totals,
        queue_states=counts.queue,
        email_states=counts.emails,
    )


def _stored(pages: Iterable[Page], stage: str, names: tuple[str, ...]) -> int:
    # By the end of the name: before it may stand a prefix of the installation.
    return sum(page.stored for page in pages if page.stage == stage and page.topic.endswith(names))


def _totals(stage: str, pages: list[Page]) -> StageTotals:
    return StageTotals(
        stage=stage,
        records=sum(page.offsets for page in pages),
        stored=sum(page.stored for page in pages),
        duplicate=sum(page.duplicate for page in pages),
        parked=sum(page.parked for page in pages),
        undecodable=sum(page.undecodable for page in pages),
        missing=sum(page.missing for page in pages),
    )


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
