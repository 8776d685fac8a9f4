"""The way of a post to its row: two gateways share the requests, and publish or spool them."""

from collections.abc import Iterator

from tests.model.checker import Model, Property, Step
from tests.model.intake_state import GATEWAYS, NAMES, TWO_LEADS, Posts, Record, State, put
from tests.model.persister import Persister
from tests.model.words import count


class Gateways:
    """The steps. `broken` names what is broken on purpose."""

    def __init__(self, posts: Posts, broken: tuple[str, ...] = ()) -> None:
        self._posts = posts
        self._broken = broken
        self._persister = Persister(broken)

    def steps(self, s: State) -> Iterator[Step]:
        yield from self._website(s)
        for gateway in GATEWAYS:
            yield from self._gateway(s, gateway)
            yield from self._spool(s, gateway)
        yield from self._kafka(s)
        for member in (0, 1):
            yield from self._persister.steps(s, member)
        yield from self._database(s)

    def _record(self, post: int, gateway: int) -> Record:
        key, body = self._posts[post]
        return (f"{key}{gateway}" if "ids are random" in self._broken else key), body

    def _website(self, s: State) -> Iterator[Step]:
        for post, status in enumerate(s.posts):
            if status in ("new", "no answer"):
                verb = "posts" if status == "new" else "repeats"
                for gateway in GATEWAYS:
                    if s.alive[gateway] and s.hands[gateway] is None:
                        yield Step(
                            f"The website {verb} {self._say(post)} to gateway {NAMES[gateway]}",
                            s._replace(
                                posts=put(s.posts, post, "at a gateway"),
                                hands=put(s.hands, gateway, (post, "kafka")),
                            ),
                        )

    def _say(self, post: int) -> str:
        key, body = self._posts[post]
        return f"the lead with key {key} and body {body}"

    def _gateway(self, s: State, g: int) -> Iterator[Step]:
        if not s.alive[g]:
            yield Step(f"Gateway {NAMES[g]} starts again", s._replace(alive=put(s.alive, g, True)))
            return
        if s.hands[g] is not None:
            yield from self._request(s, g)
        if s.faults:
            yield Step(f"Gateway {NAMES[g]} is killed", self._killed(s, g), fault=True)
            if s.files[g]:
                kept = s.files[g][: s.fsynced[g]]
                cut = self._killed(s, g)._replace(files=put(s.files, g, kept))
                yield Step(f"The power of gateway {NAMES[g]} fails", cut, fault=True)

    def _request(self, s: State, g: int) -> Iterator[Step]:
        hand = s.hands[g]
        assert hand
        post, where = hand
        name, record = f"Gateway {NAMES[g]}", self._record(post, g)
        if where == "kafka" and s.kafka:
            there = s._replace(log=(*s.log, record))
            durable = there._replace(hands=put(s.hands, g, (post, "durable")))
            yield Step("Kafka acknowledges the record", durable)
            if s.faults:
                spooling = there._replace(hands=put(s.hands, g, (post, "spool")), faults=s.faults - 1)
                yield Step("Kafka has the record, and its acknowledgement is lost", spooling, fault=True)
        if where == "kafka" and not s.kafka:
            waiting = s._replace(late=(*s.late, (g, record)))
            spooling = waiting._replace(hands=put(s.hands, g, (post, "spool")))
            yield Step(f"{name} waits two seconds for Kafka in vain", spooling)
        if where == "kafka" and "201 before the acknowledgement" in self._broken:
            early = s._replace(hands=put(s.hands, g, (post, "durable")), late=(*s.late, (g, record)))
            yield Step(f"{name} does not wait for Kafka", early)
        if where == "spool":
            written = s._replace(
                files=put(s.files, g, (*s.files[g], record)), hands=put(s.hands, g, (post, "written"))
            )
            yield Step(f"{name} writes the record to its spool", written)
        if where == "written":
            synced = s._replace(hands=put(s.hands, g, (post, "durable")))
            if "201 before the fsync" not in self._broken:
                synced = synced._replace(fsynced=put(s.fsynced, g, len(s.files[g])))
                synced = synced._replace(spooled=s.spooled | {record})
            yield Step(f"{name} fsyncs the file", synced)
        if where == "durable":
            free = s._replace(hands=put(s.hands, g, None))
            yield Step(f"{name} answers 201", free._replace(posts=put(s.posts, post, "201")), event="201")
            if s.faults:
                lost = free._replace(posts=put(s.posts, post, "no answer"), faults=s.faults - 1)
                yield Step(f"The answer of gateway {NAMES[g]} is lost", lost, fault=True)

    def _killed(self, s: State, g: int) -> State:
        hand, posts = s.hands[g], s.posts
        if hand:
            posts = put(posts, hand[0], "no answer")
        return s._replace(
            posts=posts,
            hands=put(s.hands, g, None),
            alive=put(s.alive, g, False),
            published=put(s.published, g, 0),
            late=tuple(each for each in s.late if each[0] != g),
            faults=s.faults - 1,
        )

    def _spool(self, s: State, g: int) -> Iterator[Step]:
        """Publish the file of gateway `g`, or adopt the file of the other one if it is dead."""
        other, hand = 1 - g, s.hands[g]
        if not s.alive[g] or (hand and hand[1] == "written"):
            return
        if not s.alive[other] and s.files[other]:
            yield Step(
                f"Gateway {NAMES[g]} adopts the spool of gateway {NAMES[other]}",
                s._replace(
                    files=put(put(s.files, other, ()), g, (*s.files[g], *s.files[other])),
                    fsynced=put(put(s.fsynced, other, 0), g, s.fsynced[g] + s.fsynced[other]),
                ),
            )
        lines, done = s.files[g], s.published[g]
        if done < len(lines) and s.kafka:
            line = len(lines) - 1 - done if "the newest line first" in self._broken else done
            after = s._replace(log=(*s.log, lines[line]), in_order=s.in_order and line == done)
            acked = after._replace(published=put(s.published, g, done + 1))
            yield Step(f"Kafka acknowledges a line of gateway {NAMES[g]}'s spool", acked)
            if s.faults:
                yield Step(
                    "Kafka has a line of the spool, and its acknowledgement is lost",
                    after._replace(faults=s.faults - 1),
                    fault=True,
                )
        is_early = "a file is deleted before Kafka has it" in self._broken
        if lines and (done == len(lines) or is_early):
            pending = tuple((g, line) for line in lines[done:])
            deleted = s._replace(files=put(s.files, g, ()), late=(*s.late, *pending))
            deleted = deleted._replace(fsynced=put(s.fsynced, g, 0), published=put(s.published, g, 0))
            yield Step(f"Gateway {NAMES[g]} deletes the file", deleted)

    def _kafka(self, s: State) -> Iterator[Step]:
        if not s.kafka:
            yield Step("Kafka is back", s._replace(kafka=True))
        elif s.faults:
            yield Step("Kafka becomes unavailable", s._replace(kafka=False, faults=s.faults - 1), fault=True)
        if s.kafka and s.late and "201 before the acknowledgement" not in self._broken:
            yield Step(
                "A producer delivers a record late", s._replace(late=s.late[1:], log=(*s.log, s.late[0][1]))
            )

    def _database(self, s: State) -> Iterator[Step]:
        if not s.database_up:
            yield Step("PostgreSQL is back", s._replace(database_up=True))
        elif s.faults:
            away = s._replace(database_up=False, faults=s.faults - 1)
            yield Step("PostgreSQL becomes unavailable", away, fault=True)
            if s.standby != s.database:
                failover = s._replace(database=s.standby, faults=s.faults - 1)
                yield Step(
                    "PostgreSQL fails over to a standby that lacks a transaction", failover, fault=True
                )


def _durable(s: State, post: Record) -> bool:
    """Return True if Kafka or the fsynced part of a spool has the post."""
    found = [*s.log, *(line for g in GATEWAYS for line in s.files[g][: s.fsynced[g]])]
    return any((lead_id[0], body) == post for lead_id, body in found)


def _kept_on_disk(s: State) -> bool:
    return all(record in s.log or any(record in lines for lines in s.files) for record in s.spooled)


def build(posts: Posts, faults: int, broken: tuple[str, ...] = ()) -> Model:
    """Return the model for these posts with at most `faults` faults."""

    def accepted(s: State) -> list[Record]:
        return [post for post, status in zip(posts, s.posts, strict=True) if status == "201"]

    def all_kept(s: State) -> bool:
        failed = {s.log[offset] for offset in s.failed}
        return all(post in s.database.rows or post in failed for post in accepted(s))

    ingest, spool = "website → ingest", "spool → Kafka"
    persister, failed, older = (
        "received → persister",
        "stage → failed → flusher",
        "the database is an older copy: a promoted asynchronous standby, a restored backup",
    )
    properties = (
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
            "every post is accepted in the end",
            ingest,
            lambda s: len(accepted(s)) == len(posts),
            at_rest=True,
        ),
    )
    keys = {1: "one lead", 2: "two leads" if posts == TWO_LEADS else "one key with two bodies"}[len(posts)]
    bounds = f"{keys}, two gateways, two persisters, one partition, {count(faults, 'fault')}"
    initial = State(tuple("new" for _ in posts), faults=faults)
    return Model("intake", bounds, initial, Gateways(posts, broken).steps, properties)
