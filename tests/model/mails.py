"""The way of one email of a lead: notifiers, SMTP, failures, the replay queue, an admin's resend, an erasure.

Two notifiers share the partitions of two topics. One that lost a partition goes on with the record in its
hand, and may not commit its offset. One that was stopped for a while lost its lease. `kind` is "welcome" (the
confirmation) or "alert" (the team notification).
"""

from collections.abc import Iterator

from tests.model.checker import Model, Property, Step
from tests.model.mails_state import DEAD, OWN, RECORDS, Hand, Place, Row, State
from tests.model.replay_queue import ReplayQueue
from tests.model.words import count


class Mails:
    """The steps. `broken` names what is broken on purpose."""

    def __init__(
        self,
        kind: str,
        retries: int,
        *,
        records: int,
        erases: bool,
        spam: bool,
        collects: bool,
        broken: tuple[str, ...],
    ) -> None:
        self._kind = kind
        self._collects = collects
        self._records = records
        self._spam = spam
        self._broken = broken
        self._queue = ReplayQueue(retries, erases=erases, broken=broken)

    def steps(self, s: State) -> Iterator[Step]:
        for n in (0, 1):
            if s.hands[n] is None:
                yield from self._take(s, n)
            else:
                yield from self._go_on(s, n)
                if s.faults:
                    yield Step(f"Notifier {n + 1} is killed", self._killed(s, n), fault=True)
        if s.row and s.row.lease:
            ended = s._replace(row=s.row._replace(lease=False))
            if s.row.owner == DEAD:
                yield Step("The lease of the dead notifier ends", ended)
            elif s.faults:
                stalled = ended._replace(faults=s.faults - 1)
                yield Step("A notifier is stopped for longer than its lease", stalled, fault=True)
        if s.faults:
            for topic, name in enumerate(("received", "retry")):
                received, retry = s.owners
                owners = (received, 1 - retry) if topic else (1 - received, retry)
                moved = s._replace(owners=owners, faults=s.faults - 1)
                yield Step(
                    f"The partition of the {name} topic moves to the other notifier", moved, fault=True
                )
        yield from self._queue.steps(s)
        yield from self._queue.people(s)

    def _hold(self, s: State, n: int, hand: Hand | None) -> State:
        return s._replace(hands=(hand, s.hands[1]) if n == 0 else (s.hands[0], hand))

    def _killed(self, s: State, n: int) -> State:
        row = s.row._replace(owner=DEAD) if s.row and s.row.owner == n else s.row
        owners = (1 - n, s.owners[1]) if s.owners[0] == n else s.owners
        owners = (owners[0], 1 - n) if owners[1] == n else owners
        return self._hold(s, n, None)._replace(row=row, owners=owners, faults=s.faults - 1)

    def _take(self, s: State, n: int) -> Iterator[Step]:
        """Take the next record of a topic and plan it, in one transaction."""
        if s.read < self._records and s.owners[0] == n:
            yield from self._plan(s, n, ("received", s.read))
        if s.retries_read < s.retries and s.owners[1] == n:
            yield from self._plan(s, n, ("retry", s.retries_read))

    def _plan(  # noqa: C901, PLR0912 - one branch for each state of the row
        self, s: State, n: int, record: Place
    ) -> Iterator[Step]:
        what = f"{'the record' if record[0] == 'received' else 'the retry'} at offset {record[1]}"
        name, row, is_retry = f"Notifier {n + 1}", s.row, record[0] == "retry"
        done = self._hold(s, n, Hand(record, "done"))
        reserved = Row("reserved", n, lease=True, settled_by=row.settled_by if row else None)
        to_send = self._hold(s, n, Hand(record, "reserved"))._replace(row=reserved)
        if "offsets are committed before the outcome" in self._broken:
            to_send = self._commit(to_send, record)
        if row is None:
            if self._spam:
                spam = Row("suppressed", settled_by=record)
                yield Step(f"{name} suppresses the email of spam", done._replace(row=spam))
            elif s.erased and "a mail is planned without a look at the lead" not in self._broken:
                suppressed = Row("suppressed", settled_by=record, personal=False)
                yield Step(f"{name} suppresses the email of the erased lead", done._replace(row=suppressed))
            else:
                yield Step(f"{name} takes {what} and reserves the email", to_send)
        elif row.state in ("reserved", "sending"):
            if row.lease and not (row.owner == n and row.state == "reserved"):
                return  # another process has the lease: wait
            if not is_retry and row.settled_by not in (None, record) and OWN not in self._broken:
                yield Step(f"{name} skips {what}: a retry decides", done)
                return
            if row.state == "sending" and "an interrupted mail is sent again" not in self._broken:
                taken = done._replace(row=row._replace(owner=n, lease=True))
                unknown = self._hold(taken, n, Hand(record, "answered", "unknown"))
                yield Step(f"{name} finds an email in `sending` whose lease ended", unknown)
            elif s.erased:
                suppressed = Row("suppressed", settled_by=record, personal=False)
                yield Step(f"{name} suppresses the email of the erased lead", done._replace(row=suppressed))
            else:
                yield Step(f"{name} takes {what} and the email whose lease ended", to_send)
        elif not is_retry or row.settled_by == record:
            yield Step(f"{name} skips {what}: the email has an outcome", done)
        elif row.state in ("sent", "collected"):
            if not s.claim:
                why = "the email was sent" if row.state == "sent" else "its digest decides"
                yield Step(f"{name} resolves {what}: {why}", self._resolved(done))
        elif s.erased:
            suppressed = row._replace(state="suppressed", settled_by=record, personal=False)
            yield Step(f"{name} suppresses the email of the erased lead", done._replace(row=suppressed))
        else:
            yield Step(f"{name} takes {what} and reserves the email", to_send)
            if self._collects and not s.claim:
                collected = self._resolved(done._replace(row=Row("collected", settled_by=record)))
                yield Step(f"{name} takes {what} and collects the alert for a digest", collected)

    def _resolved(self, s: State) -> State:
        if s.queue and s.queue.state != "resolved":
            return s._replace(queue=s.queue._replace(state="resolved", payload=False))
        return s

    def _commit(self, s: State, record: Place) -> State:
        if record[0] == "received":
            return s._replace(read=max(s.read, record[1] + 1))
        return s._replace(retries_read=max(s.retries_read, record[1] + 1))

    def _go_on(self, s: State, n: int) -> Iterator[Step]:
        hand, name = s.hands[n], f"Notifier {n + 1}"
        assert hand
        if hand.phase == "reserved":
            yield from self._begin(s, n, hand)
        elif hand.phase == "begun":
            yield from self._write_body(s, n, hand)
        elif hand.phase == "answered":
            yield from self._report(s, n, hand)
        elif hand.phase == "published":
            if hand.outcome != "sent" or not s.claim:
                yield Step(f"{name} commits the outcome `{hand.outcome}`", self._with_outcome(s, n, hand))
        elif hand.phase == "done":
            free = self._hold(s, n, None)
            if s.owners[hand.record[0] == "retry"] == n:
                yield Step(f"{name} commits its offset", self._commit(free, hand.record))
            else:
                yield Step(f"{name} may not commit the offset of a partition that it lost", free)

    def _begin(self, s: State, n: int, hand: Hand) -> Iterator[Step]:
        name, row = f"Notifier {n + 1}", s.row
        assert row
        begun = self._hold(s, n, hand._replace(phase="begun"))._replace(late_begin=s.late_begin or s.erased)
        if "`sending` is not committed before the body" in self._broken:
            yield Step(f"{name} logs in to the mail server", begun)
        elif row.owner != n or row.state != "reserved":
            yield Step(f"{name} lost its lease, and reads the record again", self._hold(s, n, None))
        elif s.erased and "a mail is begun without a look at the lead" not in self._broken:
            released = self._hold(s, n, None)._replace(row=row._replace(lease=False))
            yield Step(f"{name} sees the erasure, and reads the record again", released)
        elif "the outcome is stored before the mail is sent" in self._broken:
            early = row._replace(state="sent", owner=None, lease=False, settled_by=hand.record)
            yield Step(f"{name} commits `sent`", begun._replace(row=early))
        else:
            yield Step(f"{name} commits `sending`", begun._replace(row=row._replace(state="sending")))
        if s.refusals and row.owner == n and row.state == "reserved":
            for outcome, words in (("waiting", "for now"), ("dead", "for good")):
                refused = self._hold(s, n, hand._replace(phase="answered", outcome=outcome))
                refused = refused._replace(refusals=s.refusals - 1)
                yield Step(f"The mail server refuses the recipient {words}", refused)
        if s.faults and row.owner == n and row.state == "reserved":
            away = self._hold(s, n, None)._replace(row=row._replace(lease=False), faults=s.faults - 1)
            yield Step(f"The mail server is unavailable: {name} releases the email", away, fault=True)

    def _write_body(self, s: State, n: int, hand: Hand) -> Iterator[Step]:
        answered = self._hold(s, n, hand._replace(phase="answered", outcome="sent"))
        sent = answered._replace(mails=s.mails + 1)
        yield Step("The mail server takes the body and answers 250", sent)
        if s.refusals:
            refused = self._hold(s, n, hand._replace(phase="answered", outcome="waiting"))
            yield Step("The mail server answers 451 to the body", refused._replace(refusals=s.refusals - 1))
        if s.faults:
            lost = self._hold(s, n, hand._replace(phase="answered", outcome="unknown"))
            lost = lost._replace(faults=s.faults - 1)
            taken = lost._replace(mails=s.mails + 1)
            yield Step("The mail server takes the body, and its answer is lost", taken, fault=True)
            yield Step("The connection breaks in the body", lost, fault=True)
            if s.row and s.row.owner == n and s.row.state == "sending":
                free = self._hold(s, n, None)._replace(faults=s.faults - 1)
                free = free._replace(row=s.row._replace(state="reserved", lease=False))
                yield Step(
                    f"The mail server takes no body now: Notifier {n + 1} releases it", free, fault=True
                )

    def _report(self, s: State, n: int, hand: Hand) -> Iterator[Step]:
        """Publish the failure of a mail that was not sent."""
        published = self._hold(s, n, hand._replace(phase="published"))
        if hand.outcome == "sent":
            yield from self._go_on(published, n)
            return
        is_final = hand.outcome == "dead" or (hand.outcome == "unknown" and self._kind == "welcome")
        if "an unknown confirmation is retried" in self._broken:
            is_final = hand.outcome == "dead"
        if "a failure is not published" not in self._broken:
            published = published._replace(failures=(*s.failures, (hand.record, is_final)))
        yield Step(f"Notifier {n + 1} publishes the failure `{hand.outcome}`", published)

    def _with_outcome(self, s: State, n: int, hand: Hand) -> State:
        """Write the outcome, if this process still has the lease."""
        row, done = s.row, self._hold(s, n, hand._replace(phase="done"))
        assert row
        if row.owner != n or row.state not in ("reserved", "sending"):
            return done
        state = hand.outcome
        if state == "waiting" and row.settled_by == hand.record:
            state = "dead"  # the flusher counted the last retry already
        elif state == "waiting" and s.erased:
            state = "suppressed"
        settled = Row(state, settled_by=hand.record, personal=row.personal)
        unknown = s.unknown + (state == "unknown" and "`unknown` is not recorded" not in self._broken)
        done = done._replace(row=settled, unknown=unknown)
        return self._resolved(done) if state == "sent" else done


def build(
    kind: str,
    *,
    faults: int,
    refusals: int = 0,
    resends: int = 0,
    erases: bool = False,
    retries: int = 1,
    records: int = RECORDS,
    spam: bool = False,
    collects: bool = False,
    broken: tuple[str, ...] = (),
) -> Model:
    """Return the model for one email: its faults, refusals and an admin's actions are at most so many.

    With `collects`, a retry may leave the team notification to a digest, whose model is in digests.py.
    """
    smtp, failed = "received → notifier → SMTP", "stage → failed → flusher"
    retry, erasure = "flusher → retry → stage", "an admin, or the retention job, erases a lead"

    def arrives_once(s: State) -> bool:
        explained = min(s.unknown, s.resends) if kind == "welcome" else s.unknown
        return s.mails <= 1 + explained

    def has_outcome(s: State) -> bool:
        return s.row is not None and s.row.state in (
            "sent",
            "dead",
            "unknown",
            "suppressed",
            "collected",
        )

    def is_visible(s: State) -> bool:
        if s.erased or spam or (s.row and s.row.state in ("sent", "collected")):
            return True
        return s.queue is not None and s.queue.state == "dead" and s.queue.payload

    properties = (
        Property("an email arrives once, or `unknown` says why not", smtp, arrives_once),
        Property(
            "`sent` means that the mail server has it", smtp, lambda s: not _is(s, "sent") or s.mails > 0
        ),
        Property(
            "`replaying` means that Kafka has the retry",
            retry,
            lambda s: not s.queue or s.queue.state != "replaying" or s.retries >= s.queue.attempts,
        ),
        Property(
            "a row is dead once each of its retries has failed",
            retry,
            lambda s: not s.queue or s.queue.state != "dead" or s.queue.final or len(s.known) > retries,
        ),
        Property(
            "an erasure leaves nothing personal",
            erasure,
            lambda s: not s.erased or not ((s.row and s.row.personal) or (s.queue and s.queue.payload)),
        ),
        Property("no email begins after an erasure", erasure, lambda s: not s.late_begin),
        Property("every email has an outcome", smtp, has_outcome, at_rest=True),
        Property("what was not sent is in the replay queue with its bytes", failed, is_visible, at_rest=True),
        Property(
            "no retry waits forever",
            retry,
            lambda s: not s.queue or s.queue.state in ("resolved", "dead", "archived"),
            at_rest=True,
        ),
    )
    name = "confirmation" if kind == "welcome" else "team notification"
    extras = [count(refusals, "refusal")] * bool(refusals) + [count(resends, "resend")] * bool(resends)
    extras += ["an erasure"] * erases + ["spam"] * spam + ["a digest"] * collects
    limits = f"{count(retries, 'retry')}, {count(faults, 'fault')}"
    seen = "a record and its repetition" if records == RECORDS else count(records, "record")
    bounds = f"{name}: two notifiers, {seen}, {limits}"
    initial = State(refusals=refusals, admin=resends, faults=faults)
    mails = Mails(kind, retries, records=records, erases=erases, spam=spam, collects=collects, broken=broken)
    return Model("mails", ", ".join([bounds, *extras]), initial, mails.steps, properties)


def _is(s: State, state: str) -> bool:
    return s.row is not None and s.row.state == state
