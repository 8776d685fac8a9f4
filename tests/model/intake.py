"""The way of a post to its row: two gateways share the requests, and publish or spool them."""

from collections.abc import Callable, Collection, Iterator, Sequence

from tests.model.checker import Model, Step
from tests.model.intake_promises import properties_of
from tests.model.intake_state import GATEWAYS, NAMES, ONE_KEY, ONE_LEAD, TWO_LEADS, Posts, Record, State, put
from tests.model.persister import Persister
from tests.model.words import count


class Gateways:
    """The steps. `broken` names what is broken on purpose.

    `impatient` are the posts that the website does not repeat for as long as it takes. Without `delays` there
    are no faults of the persister and of PostgreSQL: they delay what is stored, and change nothing of it.
    """

    def __init__(
        self,
        posts: Posts,
        broken: tuple[str, ...] = (),
        impatient: Collection[int] = (),
        *,
        erases: bool = False,
        delays: bool = True,
    ) -> None:
        self._posts = posts
        self._broken = broken
        self._impatient = impatient
        self._erases = erases
        self._delays = delays
        self._persister = Persister(broken)

    def steps(self, s: State) -> Iterator[Step]:
        yield from self._website(s)
        for gateway in GATEWAYS:
            yield from self._gateway(s, gateway)
            yield from self._spool(s, gateway)
        yield from self._kafka(s)
        yield from self._shown(s)
        for member in (0, 1):
            for step in self._persister.steps(s, member):
                if self._delays or not step.fault:
                    yield step
        if self._delays:
            yield from self._database(s)

    def _record(self, post: int, gateway: int) -> Record:
        key, body = self._posts[post]
        return (f"{key}{gateway}" if "ids are random" in self._broken else key), body

    def _website(self, s: State) -> Iterator[Step]:
        for post, status in enumerate(s.posts):
            if status not in ("new", "no answer", "503"):
                continue
            verb = "posts" if status == "new" else "repeats"
            for gateway in GATEWAYS:
                if s.alive[gateway]:
                    there = s._replace(posts=put(s.posts, post, "at a gateway"))
                    yield Step(
                        f"The website {verb} {self._say(post)} to gateway {NAMES[gateway]}",
                        there._replace(hands=put(s.hands, post, (gateway, "new"))),
                    )
            if post in self._impatient:
                left = s._replace(posts=put(s.posts, post, "given up"))
                yield Step("The website does not repeat a post without an answer", left)

    def _say(self, post: int) -> str:
        key, body = self._posts[post]
        return f"the lead with key {key} and body {body}"

    def _gateway(self, s: State, g: int) -> Iterator[Step]:
        if not s.alive[g]:
            yield Step(f"Gateway {NAMES[g]} starts again", s._replace(alive=put(s.alive, g, True)))
            return
        for post, hand in enumerate(s.hands):
            if hand and hand[0] == g:
                yield from self._request(s, g, post, hand[1])
        if s.faults:
            yield Step(f"Gateway {NAMES[g]} is killed", self._killed(s, g), fault=True)
            if s.files[g]:
                kept = s.files[g][: s.fsynced[g]]
                cut = self._killed(s, g)._replace(files=put(s.files, g, kept))
                yield Step(f"The power of gateway {NAMES[g]} fails", cut, fault=True)

    def _request(self, s: State, g: int, post: int, where: str) -> Iterator[Step]:
        if where == "new":
            yield from self._look_up(s, g, post)
        elif where == "durable":
            yield from self._answer(s, g, post, self._record(post, g))
        else:
            yield from self._write(s, g, post, where)

    def _look_up(self, s: State, g: int, post: int) -> Iterator[Step]:
        """Answer from memory, or publish the record."""
        name, record = f"Gateway {NAMES[g]}", self._record(post, g)
        known = next((each for each in s.memory[g] if each[0] == record[0]), None)
        if known is None:
            yield from self._publish(s, g, post)
        elif known == record:
            yield Step(f"{name} remembers the lead", _held(s, g, post, "durable"))
        else:
            answered = s._replace(posts=put(s.posts, post, "422"), hands=put(s.hands, post, None))
            yield Step(f"{name} answers 422: the key had another body", answered)

    def _publish(self, s: State, g: int, post: int) -> Iterator[Step]:
        name, record = f"Gateway {NAMES[g]}", self._record(post, g)
        waiting = s._replace(late=(*s.late, (g, record)))
        if s.kafka:
            there = s._replace(log=(*s.log, record))
            yield Step("Kafka acknowledges the record", _held(there, g, post, "durable"))
            if s.faults:
                spooling = _held(there._replace(faults=s.faults - 1), g, post, "spool")
                yield Step("Kafka has the record, and its acknowledgement is lost", spooling, fault=True)
        else:
            spooling = _held(waiting, g, post, "spool")
            yield Step(f"{name} waits two seconds for Kafka in vain", spooling)
            yield Step(f"{name} does not try Kafka: its breaker is open", _held(s, g, post, "spool"))
        if "201 before the acknowledgement" in self._broken:
            yield Step(f"{name} does not wait for Kafka", _held(waiting, g, post, "durable"))

    def _write(self, s: State, g: int, post: int, where: str) -> Iterator[Step]:
        """Write the record to the spool, and fsync it."""
        name, record = f"Gateway {NAMES[g]}", self._record(post, g)
        if where == "spool":
            written = s._replace(files=put(s.files, g, (*s.files[g], record)))
            yield Step(f"{name} writes the record to its spool", _held(written, g, post, "written"))
            if s.faults:
                refused = s._replace(posts=put(s.posts, post, "503"), faults=s.faults - 1)
                refused = refused._replace(hands=put(s.hands, post, None))
                yield Step(f"The disk of gateway {NAMES[g]} fails: it answers 503", refused, fault=True)
            return
        synced = _held(s, g, post, "durable")
        if "201 before the fsync" not in self._broken:
            synced = synced._replace(fsynced=put(s.fsynced, g, len(s.files[g])))
            synced = synced._replace(spooled=s.spooled | {record})
        yield Step(f"{name} fsyncs the file", synced)

    def _answer(self, s: State, g: int, post: int, record: Record) -> Iterator[Step]:
        free = s._replace(hands=put(s.hands, post, None))
        if all(record[0] != each[0] for each in s.memory[g]):
            free = free._replace(memory=put(s.memory, g, s.memory[g] | {record}))
        answered = free._replace(posts=put(s.posts, post, "201"))
        yield Step(f"Gateway {NAMES[g]} answers 201", answered)
        if s.faults:
            lost = free._replace(posts=put(s.posts, post, "no answer"), faults=s.faults - 1)
            yield Step(f"The answer of gateway {NAMES[g]} is lost", lost, fault=True)

    def _killed(self, s: State, g: int) -> State:
        at_it = [hand is not None and hand[0] == g for hand in s.hands]
        return s._replace(
            posts=tuple("no answer" if here else each for here, each in zip(at_it, s.posts, strict=True)),
            hands=tuple(None if here else hand for here, hand in zip(at_it, s.hands, strict=True)),
            memory=put(s.memory, g, frozenset()),
            alive=put(s.alive, g, False),
            published=put(s.published, g, 0),
            late=tuple(each for each in s.late if each[0] != g),
            faults=s.faults - 1,
        )

    def _spool(self, s: State, g: int) -> Iterator[Step]:
        """Publish the file of gateway `g`, or adopt the file of the other one if it is dead."""
        other = 1 - g
        if not s.alive[g] or (g, "written") in s.hands:
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
            for end in range(done + 1, len(lines) + 1) if s.faults and line == done else ():
                yield Step(
                    "Kafka has lines of the spool, and their acknowledgements are lost",
                    s._replace(log=(*s.log, *lines[done:end]), faults=s.faults - 1),
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

    def _shown(self, s: State) -> Iterator[Step]:
        if self._erases and s.log and s.database_up and not (s.database.rows or s.database.tombstone):
            # The notifier knows the lead, and the persister has not stored it.
            erased = s._replace(database=s.database._replace(tombstone=True))
            yield Step("An admin erases the lead before it is stored", erased, fault=True)

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


def _held(s: State, g: int, post: int, where: str) -> State:
    """Return the state with the post at gateway `g`, and how far it is."""
    return s._replace(hands=put(s.hands, post, (g, where)))


def build(
    posts: Posts,
    faults: int,
    broken: tuple[str, ...] = (),
    *,
    impatient: Collection[int] = (),
    erases: bool = False,
    delays: bool = True,
) -> Model:
    """Return the model for these posts with at most `faults` faults."""
    keys = {ONE_LEAD: "one lead", TWO_LEADS: "two leads", ONE_KEY: "one key with two bodies"}
    bounds = f"{keys.get(posts, count(len(posts), 'post'))}, two gateways, two persisters, one partition"
    bounds += ", an erasure" * erases + ", a post that nobody repeats" * bool(impatient)
    initial = State(tuple("new" for _ in posts), (None,) * len(posts), faults=faults)
    steps: Callable[[State], Iterator[Step]] = Gateways(
        posts, broken, impatient, erases=erases, delays=delays
    ).steps
    groups = [(each, at in impatient) for at, each in enumerate(posts)]
    if len(set(groups)) < len(groups):
        steps = _without_order(steps, groups)
    return Model("intake", f"{bounds}, {count(faults, 'fault')}", initial, steps, properties_of(posts))


def _without_order(
    steps: Callable[[State], Iterator[Step]], groups: Sequence[tuple[Record, bool]]
) -> Callable[[State], Iterator[Step]]:
    """Return the steps with equal posts in one order, since it does not matter which of them is which."""
    places = {group: [at for at, each in enumerate(groups) if each == group] for group in groups}

    def ordered(s: State) -> Iterator[Step]:
        for step in steps(s):
            posts, hands = list(step.state.posts), list(step.state.hands)
            for indexes in places.values():
                found = sorted(((posts[at], hands[at]) for at in indexes), key=repr)
                for at, (post, hand) in zip(indexes, found, strict=True):
                    posts[at], hands[at] = post, hand
            yield step._replace(state=step.state._replace(posts=tuple(posts), hands=tuple(hands)))

    return ordered
