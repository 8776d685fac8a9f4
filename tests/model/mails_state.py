"""The state of one email of a lead: its row, its failures, its row in the replay queue."""

from typing import Final, NamedTuple

RECORDS: Final = 2  # of this lead on the received topic: the second one is a repetition
DEAD: Final = -1  # the owner of a row whose process is gone

OWN: Final = "a repeated record may take an email from its retry"

Place = tuple[str, int]  # topic and offset of a record


class Row(NamedTuple):
    """The row in `email_delivery`."""

    state: str
    owner: int | None = None
    lease: bool = False
    settled_by: Place | None = None
    personal: bool = True


class Hand(NamedTuple):
    """The record that a notifier handles, and how far it is."""

    record: Place
    phase: str  # reserved, begun, answered, published, done
    outcome: str = ""


class Queued(NamedTuple):
    """The row in `replay_queue`."""

    state: str
    attempts: int = 0
    payload: bool = True
    final: bool = False


class State(NamedTuple):
    hands: tuple[Hand | None, ...] = (None, None)
    owners: tuple[int, int] = (
        0,
        1,
    )  # which notifier has the partition of the received and of the retry topic
    read: int = 0  # the commit on the received topic
    retries: int = 0  # records on the retry topic
    retries_read: int = 0
    row: Row | None = None
    mails: int = 0  # at the recipient
    unknown: int = 0  # entries `email.unknown`
    resends: int = 0  # by an admin
    failures: tuple[tuple[Place, bool], ...] = ()  # on the failed topic: (id, final)
    failures_read: int = 0
    known: frozenset[Place] = frozenset()  # ids of failures that are stored
    queue: Queued | None = None
    claim: bool = False  # the flusher holds the row's lock: Kafka has the retry, the row not yet
    erased: bool = False
    late_begin: bool = False  # a mail was begun after the erasure
    refusals: int = 0  # the mail server may still refuse so often
    admin: int = 0  # an admin may still resend so often
    faults: int = 0
