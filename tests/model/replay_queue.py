"""The flusher stores failures and sends retries. An admin resends a dead email, or erases the lead."""

from collections.abc import Iterator

from tests.model.checker import Step
from tests.model.mails_state import Queued, State


class ReplayQueue:
    """The steps of the flusher and of an admin. `broken` names what is broken on purpose."""

    def __init__(self, retries: int, *, erases: bool, broken: tuple[str, ...]) -> None:
        self._retries = retries
        self._erases = erases
        self._broken = broken

    def steps(self, s: State) -> Iterator[Step]:
        if s.claim:
            assert s.queue
            attempts = s.queue.attempts + (s.queue.state != "replaying")
            sent = s.queue._replace(state="replaying", attempts=attempts, final=False)
            yield Step("The flusher commits `replaying`", s._replace(claim=False, queue=sent))
            if s.faults:
                killed = s._replace(claim=False, faults=s.faults - 1)
                yield Step("The flusher is killed", killed, fault=True)
            return
        if s.failures_read < len(s.failures):
            stored = self._store_failure(s)
            read = stored._replace(failures_read=s.failures_read + 1)
            yield Step("The flusher stores the failure and commits its offset", read)
            if s.faults:
                again = stored._replace(faults=s.faults - 1)
                yield Step("The flusher stores the failure, and dies before its offset", again, fault=True)
        if s.queue and s.queue.state == "waiting":
            yield Step(
                "Kafka acknowledges the flusher's retry", s._replace(claim=True, retries=s.retries + 1)
            )
            if "`replaying` is committed before Kafka's acknowledgement" in self._broken:
                early = s.queue._replace(state="replaying", attempts=s.queue.attempts + 1)
                yield Step("The flusher commits `replaying`", s._replace(queue=early))
        if s.queue and s.queue.state == "replaying" and self._is_quiet(s):
            again = s._replace(claim=True, retries=s.retries + 1)
            yield Step("After an hour without a result, the flusher sends the retry again", again)

    def _is_quiet(self, s: State) -> bool:
        nothing_read = s.retries_read == s.retries and s.failures_read == len(s.failures)
        return nothing_read and s.hands == (None, None)

    def _store_failure(self, s: State) -> State:
        failure, is_final = s.failures[s.failures_read]
        if failure in s.known and "a repeated failure is a new one" not in self._broken:
            return s
        s, queue = s._replace(known=s.known | {failure}), s.queue
        if s.erased and "the flusher does not look for erased leads" not in self._broken:
            return s._replace(queue=queue or Queued("archived", payload=False))
        if queue is None or queue.state == "resolved":
            following = Queued("dead" if is_final else "waiting", final=is_final)
        elif queue.state in ("dead", "archived"):
            return s
        elif is_final or (queue.state == "replaying" and queue.attempts >= self._retries):
            following = queue._replace(state="dead", final=is_final)
        elif queue.state == "replaying":
            following = queue._replace(state="waiting")
        else:
            return s
        row = s.row
        if following.state == "dead" and row:  # mark_mail_dead
            if row.state == "waiting":
                row = row._replace(state="dead")
            elif row.state in ("reserved", "sending"):
                row = row._replace(settled_by=failure)
        return s._replace(queue=following, row=row)

    def people(self, s: State) -> Iterator[Step]:
        if s.admin and not s.claim and s.queue and s.queue.state == "dead" and s.queue.payload:
            again = Queued("waiting")
            yield Step(
                "An admin resends the email",
                s._replace(admin=s.admin - 1, queue=again, resends=s.resends + 1),
                fault=True,
            )
        if self._erases and not s.erased and not s.claim:
            yield Step("An admin erases the lead", self._erased(s), fault=True)

    def _erased(self, s: State) -> State:
        row, queue = s.row, s.queue
        if row and "an erasure forgets the email" not in self._broken:
            state = "suppressed" if row.state == "waiting" else row.state
            row = row._replace(state=state, personal=False)
        if queue and "an erasure forgets the replay queue" not in self._broken:
            state = queue.state if queue.state == "resolved" else "archived"
            queue = queue._replace(state=state, payload=False)
        return s._replace(erased=True, row=row, queue=queue)
