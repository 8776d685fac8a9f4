"""What an observer sees of a step of each model: the difference between two states. Pure.

A transaction of the database is one observation, such as `email sent + queue resolved`: what changes together
must change in one step. `shown_transaction` gives the same words for a recorded transaction.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import zip_longest

from tests.model.destinations import State as DestinationState
from tests.model.digests import State as DigestState
from tests.model.events import Refusal
from tests.model.intake_state import Posts
from tests.model.intake_state import State as IntakeState
from tests.model.mails_state import State as MailState
from tests.model.traces.simulation import Shown, View

WEBSITE, DATABASE, MAIL_SERVER, DESTINATION = "website", "database", "mail server", "destination"
RECEIVED, FAILED, RETRY, CHANGED, AUDIT = (
    "received topic",
    "failed topic",
    "retry topic",
    "changed topic",
    "audit topic",
)
_ANSWERS = ("201", "422", "503")


def transaction(changes: Iterable[str]) -> str:
    """Return one transaction's changes as one observation."""
    return " + ".join(sorted(changes))


def _in_database(changes: list[str]) -> Iterator[tuple[str, str]]:
    if changes:
        yield DATABASE, transaction(changes)


def of_intake(posts: Posts) -> View:
    """Responses, records, second bodies on the failed topic, and rows with their entries."""
    bodies = [body for _, body in posts]

    def view(before: IntakeState, after: IntakeState) -> Shown:
        return tuple(_intake(bodies, before, after))

    return view


def _intake(bodies: Sequence[str], before: IntakeState, after: IntakeState) -> Iterator[tuple[str, str]]:
    if after.posts != before.posts:
        came = Counter(zip(after.posts, bodies, strict=True)) - Counter(
            zip(before.posts, bodies, strict=True)
        )
        for (status, body), number in came.items():
            if status in _ANSWERS:
                yield from ((WEBSITE, f"{status} {body}") for _ in range(number))
    for _, body in after.log[len(before.log) :]:
        yield RECEIVED, f"record {body}"
    if after.failed != before.failed:
        yield from ((FAILED, "second body") for _ in after.failed - before.failed)
    if after.database != before.database:
        changes = [f"row {body}" for _, body in after.database.rows[len(before.database.rows) :]]
        new = len(after.database.entries) - len(before.database.entries)
        changes += ["entry lead.received"] * new
        changes += ["tombstone", "entry lead.erased"] * (after.database.tombstone > before.database.tombstone)
        yield from _in_database(changes)


def of_mails(before: MailState, after: MailState) -> Shown:
    """Changes of the email's row and of its row in the replay queue, entries, failures, retries, mails."""
    return tuple(_mails(before, after))


def _mails(before: MailState, after: MailState) -> Iterator[tuple[str, str]]:
    if after.retries > before.retries:
        yield RETRY, "retry"
    for _, is_final in after.failures[len(before.failures) :]:
        yield FAILED, "final failure" if is_final else "failure"
    if after.mails > before.mails:
        yield MAIL_SERVER, "mail"
    changes = list[str]()
    if after.row != before.row and after.row:
        if before.row is None or after.row.state != before.row.state:
            changes.append(f"email {after.row.state}")
        if before.row and before.row.personal and not after.row.personal:
            changes.append("email emptied")
    if after.queue and (before.queue is None or after.queue.state != before.queue.state):
        changes.append(f"queue {after.queue.state}")
    changes += ["entry email.unknown"] * (after.unknown - before.unknown)
    changes += ["entry lead.erased"] * (after.erased > before.erased)
    yield from _in_database(changes)


def of_digests(before: DigestState, after: DigestState) -> Shown:
    """Changes of the first alert's row, and the lists with it that arrived."""
    return tuple(_digests(before, after))


def _digests(before: DigestState, after: DigestState) -> Iterator[tuple[str, str]]:
    seen = len(before.message_ids)
    for message_id, has_first in zip(after.message_ids[seen:], after.lists[seen:], strict=True):
        if has_first:
            yield MAIL_SERVER, f"list {message_id}"
    changes = list[str]()
    if after.alerts[0] != before.alerts[0]:
        changes.append(f"email {after.alerts[0]}")
    changes += ["entry email.unknown"] * (after.entries - before.entries)
    changes += ["entry lead.erased"] * (after.erased > before.erased)
    yield from _in_database(changes)


def of_destinations(before: DestinationState, after: DestinationState) -> Shown:
    """Changes with their rows in the outbox, deliveries, events on the topic and at the destination."""
    return tuple(_destinations(before, after))


def _destinations(before: DestinationState, after: DestinationState) -> Iterator[tuple[str, str]]:
    for event in after.topic[len(before.topic) :]:
        yield CHANGED, f"change {event}"
    for event in after.arrived[len(before.arrived) :]:
        yield DESTINATION, name_event(event, len(after.deliveries))
    changes = [f"change {event}" for event in range(before.changes + 1, after.changes + 1)]
    changes += ["entry lead.status_changed"] * len(changes)
    changes += [f"outbox {event}" for event in after.outbox if event not in before.outbox]
    changes += [f"outbox without {event}" for event in before.outbox if event not in after.outbox]
    changes += ["entry lead.erased"] * (after.erased > before.erased)
    for event, (old, new) in enumerate(zip_longest(before.deliveries, after.deliveries)):
        if new and (old is None or (old.state, old.attempts) != (new.state, new.attempts)):
            changes.append(f"{name_event(event, len(after.deliveries))} {new.state} {new.attempts}")
    yield from _in_database(changes)


def name_event(event: int, events: int) -> str:
    """Return the name of an event of a lead that has so many events at most, the last one of its erasure."""
    return "lead.received" if event == 0 else "lead.erased" if event == events - 1 else f"change {event}"


def of_refusals(before: Refusal, after: Refusal) -> Shown:
    """Entries on the audit topic and in the audit log."""
    came = [(AUDIT, "entry") for _ in after.topic[len(before.topic) :]]
    return (*came, *((DATABASE, "entry") for _ in after.entries[len(before.entries) :]))
