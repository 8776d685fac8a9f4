"""The state of the way from a post to its row: gateways, spool, Kafka, persisters, database.

A record is (lead id, body). The lead id is derived from the key, so it is the key here.
"""

from typing import Any, Final, NamedTuple

Record = tuple[str, str]
Posts = tuple[Record, ...]

ONE_LEAD: Final[Posts] = (("a", "x"),)
TWO_LEADS: Final[Posts] = (("a", "x"), ("b", "x"))
ONE_KEY: Final[Posts] = (("a", "x"), ("a", "y"))


class Database(NamedTuple):
    """The rows and entries as (id, body), the conflicts' entries, and the ledger of the partition."""

    rows: tuple[Record, ...] = ()
    entries: tuple[str, ...] = ()
    next_offset: int = 0
    stored: int = 0
    others: int = 0  # duplicates and conflicts
    tombstone: bool = False  # the lead was erased before it was stored


class Batch(NamedTuple):
    """Records from `first` up to `last` in a persister's hand."""

    first: int
    last: int
    phase: str = "fetched"
    conflicts: frozenset[int] = frozenset()


class State(NamedTuple):
    posts: tuple[str, ...]  # new, at a gateway, no answer, 503, 201, 422, given up
    hands: tuple[tuple[int, str] | None, ...]  # of each post: the gateway that has it, and how far it is
    memory: tuple[frozenset[Record], ...] = (frozenset(), frozenset())  # what each gateway accepted
    alive: tuple[bool, ...] = (True, True)
    late: tuple[tuple[int, Record], ...] = ()  # in the producers of the gateways, not acknowledged
    files: tuple[tuple[Record, ...], ...] = ((), ())  # each gateway's spool
    fsynced: tuple[int, ...] = (0, 0)  # lines of each file
    published: tuple[int, ...] = (0, 0)  # lines of each file that Kafka acknowledged; in memory
    spooled: frozenset[Record] = frozenset()  # what was fsynced at any time
    in_order: bool = True
    kafka: bool = True
    log: tuple[Record, ...] = ()
    commit: int = 0
    owner: int = 0
    batches: tuple[Batch | None, ...] = (None, None)
    database_up: bool = True
    database: Database = Database()
    standby: Database = Database()  # one transaction behind
    failed: frozenset[int] = frozenset()  # offsets of the records on the failed topic
    faults: int = 0


GATEWAYS: Final = (0, 1)
NAMES: Final = ("A", "B")


def put(values: tuple[Any, ...], index: int, value: object) -> tuple[Any, ...]:
    """Return a copy of `values` with another value at an index."""
    return (*values[:index], value, *values[index + 1 :])
