"""Every model with the bounds that CI checks, every promise broken on purpose, and each promise's text."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from tests.model import destinations, digests, events, intake, mails, site_queue
from tests.model.checker import Model
from tests.model.intake_state import ONE_KEY, ONE_LEAD, TWO_LEADS

# The rows of ARCHITECTURE.md: hop, and the promise in its words. A test compares both.
PROMISES: Final[dict[str, str]] = {
    "website → ingest": (
        "a 201 means that all in-sync replicas have the lead, or that it is fsynced in the gateway's spool"
    ),
    "website's queue → flusher → ingest": (
        "each entry is posted under its own key, and leaves the website after the 201, or once the "
        "replay queue has what the gateway refused"
    ),
    "spool → Kafka": (
        "oldest first, the same bytes; a file is deleted when Kafka has acknowledged all of it"
    ),
    "received → persister": ("one row, one `lead.received` entry and one count, in one transaction"),
    "received → notifier → SMTP": ("each of two emails once, or visibly `unknown`"),
    "collected alerts → notifier → SMTP": (
        "each lead is in one digest, or visibly `unknown`: its alert has a row as any other"
    ),
    "held leads → notifier → SMTP": (
        "each is listed in one email to the team (a digest), with at most one digest per hour and site"
    ),
    "received → webhooks → destination": (
        "one delivery for each lead and destination, sent until the destination answers 2xx, or until "
        "ten attempts over three days have failed"
    ),
    "change → outbox → webhooks": (
        "each change of a lead is in the outbox in the transaction of the change, and a row leaves it "
        "only after Kafka's acknowledgement; in order for each lead"
    ),
    "stage → failed → flusher": ("one row of `replay_queue`, with the original bytes"),
    "provider, mailbox → mail events → flusher": (
        "a provider's webhook gets a 2xx, and a report leaves the mailbox, once Kafka has acknowledged "
        "the event; its effect is one transaction"
    ),
    "flusher → retry → stage": (
        "three retries: at the first run of the job, after 15 and after 60 minutes, with 20 % jitter; "
        "only to the stage that failed"
    ),
    "ingest → audit → persister": (
        "an entry for each refused request of a site, as far as possible; requests without a valid token"
        " (401) are only counted. The persister accepts only `lead.rejected`, and stores it with the "
        "database's time"
    ),
    "admin → PostgreSQL": ("a change and its audit entry in one transaction"),
}

# Rows of the table of faults whose right answer is more than a hop's promise.
FAULT_PROMISES: Final[dict[str, str]] = {
    "an admin, or the retention job, erases a lead": (
        "its emails, queue rows and fields are emptied in one transaction; a tombstone keeps a "
        "redelivery from restoring it"
    ),
    "the database is an older copy: a promoted asynchronous standby, a restored backup": (
        "within a minute persister and flusher rewind in Kafka, and the notifier reads from it what "
        "became of each email: none is sent twice"
    ),
}


def models() -> list[Model]:
    """Return the models that fulfill every promise, with the bounds of CI."""
    return [
        intake.build(ONE_LEAD, faults=3),
        intake.build(TWO_LEADS, faults=1),
        intake.build(ONE_KEY, faults=1),
        intake.build(ONE_LEAD, faults=1, erases=True),
        intake.build(ONE_LEAD, faults=1, impatient=(0,)),
        mails.build("welcome", faults=2, resends=1, erases=True),
        mails.build("welcome", faults=1, refusals=2, resends=1, erases=True),
        mails.build("alert", faults=2, resends=1, erases=True),
        mails.build("alert", faults=2, refusals=1, resends=1),
        mails.build("alert", faults=1, refusals=2, resends=1, erases=True),
        mails.build("alert", faults=1, refusals=2, retries=3),
        mails.build("alert", faults=1, refusals=1, collects=True),
        mails.build("alert", faults=0, refusals=4, retries=3),
        mails.build("welcome", faults=1, spam=True),
        digests.build(faults=3),
        digests.build(faults=2, refusals=1),
        digests.build(faults=3, refusals=1, erases=True),
        digests.build(faults=3, held=True),
        destinations.build(faults=1, refusals=2),
        destinations.build(faults=2, refusals=1),
        destinations.build(faults=1, refusals=1, changes=1, erases=True),
        site_queue.build(faults=3),
        site_queue.build(faults=3, refuses=True),
        events.build_report(faults=3),
        events.build_refusal(faults=2),
        events.build_change(faults=3),
    ]


@dataclass(frozen=True)
class BrokenPromise:
    """What is broken on purpose, in which model, and the property that shows it."""

    names: tuple[str, ...]
    build: Callable[[tuple[str, ...]], Model]
    breaks: str


def _one_lead(broken: tuple[str, ...]) -> Model:
    return intake.build(ONE_LEAD, 1, broken)


def _two_leads(broken: tuple[str, ...]) -> Model:
    return intake.build(TWO_LEADS, 1, broken)


def _one_key(broken: tuple[str, ...]) -> Model:
    return intake.build(ONE_KEY, 1, broken)


def _confirmation(broken: tuple[str, ...]) -> Model:
    return mails.build("welcome", faults=1, refusals=1, erases=True, broken=broken)


def _email(broken: tuple[str, ...]) -> Model:
    return mails.build("welcome", faults=1, broken=broken)


def _notification(broken: tuple[str, ...]) -> Model:
    return mails.build("alert", faults=1, refusals=1, erases=True, broken=broken)


def _digest(broken: tuple[str, ...]) -> Model:
    return digests.build(faults=1, broken=broken)


def _erased_digest(broken: tuple[str, ...]) -> Model:
    return digests.build(faults=1, refusals=1, erases=True, broken=broken)


def _held_list(broken: tuple[str, ...]) -> Model:
    return digests.build(faults=1, held=True, broken=broken)


def _destination(broken: tuple[str, ...]) -> Model:
    return destinations.build(faults=1, refusals=1, broken=broken)


def _only_a_lead(broken: tuple[str, ...]) -> Model:
    return destinations.build(faults=1, changes=0, broken=broken)


def _site_queue(broken: tuple[str, ...]) -> Model:
    return site_queue.build(faults=1, broken=broken)


def _report(broken: tuple[str, ...]) -> Model:
    return events.build_report(faults=1, broken=broken)


def _refusal(broken: tuple[str, ...]) -> Model:
    return events.build_refusal(faults=1, broken=broken)


def _change(broken: tuple[str, ...]) -> Model:
    return events.build_change(faults=1, broken=broken)


def _two_faults(broken: tuple[str, ...]) -> Model:
    return mails.build("welcome", faults=2, refusals=1, broken=broken)


def _three_faults(broken: tuple[str, ...]) -> Model:
    return mails.build("welcome", faults=3, broken=broken)


def _refusals(broken: tuple[str, ...]) -> Model:
    return mails.build("alert", faults=1, refusals=3, broken=broken)


_DURABLE: Final = "a 201 is in Kafka or fsynced in a spool"
_ONCE: Final = "an email arrives once, or `unknown` says why not"
_NOTHING_PERSONAL: Final = "an erasure leaves nothing personal"
_REWIND: Final = "no rewind to an older database"

BROKEN: Final[tuple[BrokenPromise, ...]] = (
    BrokenPromise(("201 before the acknowledgement",), _one_lead, _DURABLE),
    BrokenPromise(("201 before the fsync",), _one_lead, _DURABLE),
    BrokenPromise(("ids are random",), _one_lead, "one key is one lead"),
    BrokenPromise(
        ("a file is deleted before Kafka has it",), _one_lead, "a spooled line is on the disk or in Kafka"
    ),
    BrokenPromise(("the newest line first",), _two_leads, "the oldest line of a file is published first"),
    BrokenPromise(("no idempotent insert",), _one_lead, "one row for each lead"),
    BrokenPromise(("entries in another transaction",), _one_lead, "one entry for each row"),
    BrokenPromise(("every delivery is counted",), _one_lead, "each offset is counted once"),
    BrokenPromise((_REWIND,), _one_lead, "the ledger reaches the end of the log"),
    BrokenPromise(
        ("offsets are committed before the transaction", _REWIND),
        _one_lead,
        "the ledger reaches the end of the log",
    ),
    BrokenPromise(("conflicts are dropped",), _one_key, "a second body is on the failed topic"),
    BrokenPromise(
        ("offsets are committed before the failure",), _one_key, "a second body is on the failed topic"
    ),
    BrokenPromise(
        ("the outcome is stored before the mail is sent",),
        _confirmation,
        "`sent` means that the mail server has it",
    ),
    BrokenPromise(("`sending` is not committed before the body",), _email, _ONCE),
    BrokenPromise(("an interrupted mail is sent again",), _confirmation, _ONCE),
    BrokenPromise(("an unknown confirmation is retried",), _confirmation, _ONCE),
    BrokenPromise(("a repeated record may take an email from its retry",), _confirmation, _ONCE),
    BrokenPromise(("`unknown` is not recorded",), _notification, _ONCE),
    BrokenPromise(("offsets are committed before the outcome",), _confirmation, "every email has an outcome"),
    BrokenPromise(("a failure is not published",), _notification, "every email has an outcome"),
    BrokenPromise(
        ("`replaying` is committed before Kafka's acknowledgement",),
        _notification,
        "`replaying` means that Kafka has the retry",
    ),
    BrokenPromise(
        ("a repeated failure is a new one",),
        _notification,
        "a row is dead once each of its retries has failed",
    ),
    BrokenPromise(("an erasure forgets the email",), _notification, _NOTHING_PERSONAL),
    BrokenPromise(("an erasure forgets the replay queue",), _notification, _NOTHING_PERSONAL),
    BrokenPromise(("the flusher does not look for erased leads",), _notification, _NOTHING_PERSONAL),
    BrokenPromise(("a mail is planned without a look at the lead",), _confirmation, _NOTHING_PERSONAL),
    BrokenPromise(
        ("a mail is begun without a look at the lead",), _confirmation, "no email begins after an erasure"
    ),
    BrokenPromise(
        ("`sending` is not committed before the body",),
        _digest,
        "a list arrives once, or `unknown` says why not",
    ),
    BrokenPromise(("an unknown list is made anew",), _digest, "each lead is in one digest"),
    BrokenPromise((digests.LEFT,), _erased_digest, "every alert has an outcome"),
    BrokenPromise(
        ("each attempt has its own Message-ID",), _held_list, "a repeated list has the same Message-ID"
    ),
    BrokenPromise(
        ("delivered is recorded before the request",),
        _destination,
        "`delivered` means that the destination has it",
    ),
    BrokenPromise(("one failure is final",), _destination, "no delivery is dead before its last attempt"),
    BrokenPromise(("offsets are committed before the deliveries",), _only_a_lead, "every event is delivered"),
    BrokenPromise(
        ("a change does not wait for its lead",), _destination, "the events of a lead arrive in order"
    ),
    BrokenPromise(
        ("the relay publishes the newest change first",), _destination, "the events of a lead arrive in order"
    ),
    BrokenPromise(
        ("a row of the outbox is deleted before the acknowledgement",),
        _destination,
        "each change is in the outbox or in Kafka",
    ),
    BrokenPromise(
        ("the outbox is written after the change",), _destination, "each change is in the outbox or in Kafka"
    ),
    BrokenPromise(
        ("an entry is removed before its 201",),
        _site_queue,
        "an entry leaves the website only for Kafka or the replay queue",
    ),
    BrokenPromise(("each post has a new key",), _site_queue, "an entry is one lead"),
    BrokenPromise(
        ("2xx before the acknowledgement",), _report, "a report leaves its provider once Kafka has it"
    ),
    BrokenPromise(("the event's id is minted",), _report, "a report has its effect once"),
    BrokenPromise(("every event is stored",), _refusal, "only refusals are stored"),
    BrokenPromise(("entries have no unique id",), _refusal, "an entry is stored once"),
    BrokenPromise(
        ("drops are not counted",),
        _refusal,
        "each refusal is stored, counted as dropped, or was in the memory of a killed gateway",
    ),
    BrokenPromise(("the entry is written in another transaction",), _change, "a change has its entry"),
    BrokenPromise(("`expected` is not compared",), _change, "a status is not set twice"),
)

# Beyond the bounds of CI: nothing is broken on purpose, and so many faults at once break a promise.
LIMITS: Final[tuple[BrokenPromise, ...]] = (
    BrokenPromise((), _two_faults, _ONCE),
    BrokenPromise((), _three_faults, "every email has an outcome"),
    BrokenPromise((), _refusals, "every email has an outcome"),
)
# One defence is broken, and another one holds: the ledger is compared with Kafka before each batch.
HELD_BY_ANOTHER_DEFENCE: Final = BrokenPromise(
    ("offsets are committed before the transaction",), _one_lead, ""
)
