"""The promises of the way from a post to its row, as properties of the model."""

from typing import Final

from tests.model.checker import Property
from tests.model.intake_state import GATEWAYS, Posts, Record, State

FINAL: Final = ("201", "422", "given up")


def _durable(s: State, post: Record) -> bool:
    """Return True if Kafka or the fsynced part of a spool has the post."""
    found = [*s.log, *(line for g in GATEWAYS for line in s.files[g][: s.fsynced[g]])]
    return any((lead_id[0], body) == post for lead_id, body in found)


def _kept_on_disk(s: State) -> bool:
    return all(record in s.log or any(record in lines for lines in s.files) for record in s.spooled)


def properties_of(posts: Posts) -> tuple[Property, ...]:
    """Return the properties of a model with these posts."""

    def accepted(s: State) -> list[Record]:
        return [post for post, status in zip(posts, s.posts, strict=True) if status == "201"]

    def all_kept(s: State) -> bool:
        if s.database.tombstone:
            return True
        failed = {s.log[offset] for offset in s.failed}
        return all(post in s.database.rows or post in failed for post in accepted(s))

    ingest, spool = "website → ingest", "spool → Kafka"
    persister, failed, older = (
        "received → persister",
        "stage → failed → flusher",
        "the database is an older copy: a promoted asynchronous standby, a restored backup",
    )
    return (
        Property("a spooled line is on the disk or in Kafka", spool, _kept_on_disk),
        Property("the oldest line of a file is published first", spool, lambda s: s.in_order),
        Property(
            "a 201 is in Kafka or fsynced in a spool",
            ingest,
            lambda s: all(_durable(s, each) for each in accepted(s)),
        ),
        Property(
            "one key is one lead",
            ingest,
            lambda s: len({each[0] for each in s.log}) == len({each[0][0] for each in s.log}),
        ),
        Property(
            "one row for each lead",
            persister,
            lambda s: len(s.database.rows) == len({r[0] for r in s.database.rows}),
        ),
        Property(
            "one entry for each row",
            persister,
            lambda s: s.database.entries == tuple(r[0] for r in s.database.rows),
        ),
        Property(
            "each offset is counted once",
            persister,
            lambda s: (
                s.database.stored + s.database.others == s.database.next_offset
                and s.database.stored == len(s.database.rows)
            ),
        ),
        Property(
            "the ledger reaches the end of the log",
            older,
            lambda s: s.database.next_offset == s.commit == len(s.log),
            at_rest=True,
        ),
        Property(
            "a second body is on the failed topic",
            failed,
            lambda s: (
                all(post in s.database.rows or post[0] not in dict(s.database.rows) for post in accepted(s))
                or all_kept(s)
            ),
            at_rest=True,
        ),
        Property("every accepted lead is stored", persister, all_kept, at_rest=True),
        Property(
            "every post has a final answer",
            ingest,
            lambda s: all(each in FINAL for each in s.posts),
            at_rest=True,
        ),
    )
