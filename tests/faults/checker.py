"""Compares the responses with the observed state. Pure, and shares no code with the services."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from tests.faults.delivery_checker import check_deliveries
from tests.faults.injections.poison_records import Poisoner
from tests.faults.load import BAD, Answer, Lead, Refusal
from tests.faults.observed_state import READ_BY, ObservedState
from tests.faults.violations import Violation

# Replies about one mail or mailbox. Any other failure is an outage and makes no row.
_LEAD_ERROR = re.compile(r"smtp (450|451|550)\b")


def check(
    observed: ObservedState,
    leads: Mapping[str, Lead],
    refusals: Sequence[Refusal],
    poison: Poisoner,
    allowed_503: Sequence[tuple[float, float]] = (),
) -> list[Violation]:
    """Return all violations.

    `allowed_503` holds the intervals in which a 503 is correct.
    """
    return [
        *_answers(leads, refusals, allowed_503),
        *_inbox(observed, leads, poison),
        *_audit(observed),
        *_mails(observed, leads, poison),
        *_queue(observed, leads, poison),
        *_archive(observed, leads, poison),
        *_ledger(observed),
        *check_deliveries(observed, leads, poison),
    ]


def _answers(
    leads: Mapping[str, Lead], refusals: Sequence[Refusal], allowed_503: Sequence[tuple[float, float]]
) -> Iterator[Violation]:
    for lead in leads.values():
        for answer in (each for body in lead.bodies for each in body.answers):
            if answer.status == 201 and answer.lead_id != lead.id:
                yield Violation("answer", f"201 under another id: {answer.lead_id}", lead.id)
            if answer.status == 422 and len(lead.bodies) == 1:
                yield Violation("refused", "422 for a good lead", lead.id)
            if answer.status not in (0, 201, 422) and not _is_allowed(answer, allowed_503):
                yield Violation(
                    "refused", f"{answer.status} after {answer.seconds:.1f} s for a good lead", lead.id
                )
    for refusal in refusals:
        expected = BAD[refusal.name][1] | {0}
        yield from (
            Violation("answer", f"{each.status} for a bad request ({refusal.name})")
            for each in refusal.answers
            if each.status not in expected
        )


def _is_allowed(answer: Answer, allowed_503: Sequence[tuple[float, float]]) -> bool:
    """Return True for a 503 with Retry-After while Kafka and the spool were unavailable."""
    return (
        answer.status == 503
        and answer.retry_after.isdecimal()
        and any(began <= answer.at + answer.seconds and answer.at <= ended for began, ended in allowed_503)
    )


def _inbox(observed: ObservedState, leads: Mapping[str, Lead], poison: Poisoner) -> Iterator[Violation]:
    for lead in leads.values():
        yield from _stored(observed, lead)
    for lead_id in observed.inbox.keys() - leads.keys() - poison.odd:
        yield Violation("invented", "a row that was never posted", lead_id)
    for lead_id in poison.odd - observed.inbox.keys():
        yield Violation("lost", "a good lead under odd headers has no row", lead_id)
    kept = {lead_id: row for lead_id, row in observed.inbox.items() if row["status"] != "erased"}
    twice = Counter((row["email"], row["message"]) for row in kept.values())
    for lead_id, row in kept.items():
        if twice[row["email"], row["message"]] > 1:
            yield Violation("duplicated row", "the same lead under two ids", lead_id)


def _stored(observed: ObservedState, lead: Lead) -> Iterator[Violation]:
    row = observed.inbox.get(lead.id)
    if row is None:
        if any(body.accepted for body in lead.bodies):
            yield Violation("lost", "201, and no row", lead.id)
        return
    if row["status"] == "erased" and lead.erase:
        return
    stored = [body for body in lead.bodies if body.message == row["message"]]
    if not any(body.possible for body in stored) or row["email"] != lead.email:
        yield Violation("invented", "a row with content that was never accepted", lead.id)
    if (row["status"] == "spam") != lead.spam:
        yield Violation("altered", f"status {row['status']}", lead.id)
    answers = [answer for body in lead.bodies for answer in body.answers]
    times = {datetime.fromisoformat(each.timestamp) for each in answers if each.status == 201}
    if all(each.status in (201, 422) for each in answers) and row["created_at_utc"] not in times:
        yield Violation("altered", "another time than the 201's", lead.id)
    queued = [
        each["payload"] or b"" for each in observed.queue if each["lead_id"] == lead.id and each["by_origin"]
    ]
    for body in lead.bodies:
        if body.accepted and body not in stored and not any(body.message.encode() in p for p in queued):
            yield Violation("lost", "201 for a second body, neither stored nor in the replay queue", lead.id)


def _audit(observed: ObservedState) -> Iterator[Violation]:
    for lead_id in observed.inbox.keys() | observed.received.keys():
        # A lead that was erased before it was stored is a tombstone without this entry.
        expected = int(lead_id in observed.inbox and observed.inbox[lead_id]["stored"])
        found = observed.received[lead_id]
        if found != expected:
            yield Violation("audit", f"{found} entries lead.received, {expected} rows", lead_id)


def _mails(observed: ObservedState, leads: Mapping[str, Lead], poison: Poisoner) -> Iterator[Violation]:
    for lead_id in observed.inbox:
        for kind in ("welcome", "admin_alert"):
            yield from _mail(observed, leads.get(lead_id), lead_id, kind)
    for lead_id, kind in observed.mails:
        if lead_id not in observed.inbox and lead_id not in poison.unstorable:
            yield Violation("invented", f"a {kind} of no lead", lead_id if "-" in lead_id else None)


def _mail(observed: ObservedState, lead: Lead | None, lead_id: str, kind: str) -> Iterator[Violation]:
    state, mails = observed.deliveries.get((lead_id, kind)), observed.mails[lead_id, kind]
    unknown, expected = observed.unknown[lead_id, kind], "sent"
    erased = observed.inbox[lead_id]["status"] == "erased"
    if erased and state in ("suppressed", "dead", "unknown"):
        expected = state  # erased before it was sent
    elif lead and lead.spam:
        expected = "suppressed"
    elif lead and lead.mailing == "refused" and kind == "welcome":
        expected = "dead"
    elif kind == "welcome" and unknown:
        expected = "unknown"
    if state != expected:
        yield Violation("mail state", f"{kind} is {state}, not {expected}", lead_id)
    if mails > 1 and (kind == "welcome" or unknown < mails - 1):
        yield Violation("duplicated mail", f"{kind} arrived {mails} times, {unknown} unknown", lead_id)
    if mails == 0 and state == "sent":
        yield Violation("lost mail", f"{kind} is sent, and did not arrive", lead_id)
    if mails and state in ("suppressed", "dead") and not erased:
        yield Violation("mail state", f"{kind} is {state}, and arrived", lead_id)


def _queue(observed: ObservedState, leads: Mapping[str, Lead], poison: Poisoner) -> Iterator[Violation]:
    values = {each.value for each in poison.undecodable}
    for row in observed.queue:
        lead_id, kind, state, reason = row["lead_id"], row["kind"], row["state"], row["reason"]
        lead = leads.get(lead_id)
        if lead_id in poison.unstorable or (lead and lead.erase and state in ("archived", "resolved")):
            explained = True
        elif row["stage"] == "persister":
            conflict = reason == "conflict" and lead is not None and len(lead.bodies) > 1
            explained = state == "dead" and (
                conflict or (reason == "undecodable" and row["payload"] in values)
            )
        else:
            unknown = bool(observed.unknown[lead_id, kind])
            of_lead = unknown or bool(_LEAD_ERROR.match(reason))
            may_be_dead = kind == "welcome" and (unknown or (lead is not None and lead.mailing == "refused"))
            explained = of_lead and (state == "resolved" or (state == "dead" and may_be_dead))
        if not explained:
            detail = f"{row['stage']} {kind} is {state} after {row['attempts']} retries: {reason}"
            yield Violation("queue", detail, lead_id)
    queued = {row["payload"] for row in observed.queue}
    for lead_id, each in poison.unstorable.items():
        if each.value not in queued:
            yield Violation("lost", "an unstorable record is not in the queue", lead_id)


def _archive(observed: ObservedState, leads: Mapping[str, Lead], poison: Poisoner) -> Iterator[Violation]:
    for each in poison.undecodable:
        found = [one for one in observed.archive if (one.key, one.value) == (each.key, each.value)]
        if not found:
            yield Violation("lost", f"poison {each.key!r} is not in the archive byte for byte")
        if len({one.event_id for one in found}) > 1:
            yield Violation("duplicated dead letter", f"poison {each.key!r} died under two event ids")
    known = {(each.key, each.value) for each in poison.undecodable}
    # An erasure archives the rows of its lead, also those that were dead before it and so published. A retry
    # that was on its way is suppressed later, and resolves its row.
    erased = {lead.id for lead in leads.values() if lead.erase}
    dead = {row["lead_id"] for row in observed.queue if row["state"] == "dead" or row["lead_id"] in erased}
    for one in observed.archive:
        lead_id = (one.key or b"").decode(errors="replace")
        if (one.key, one.value) not in known and lead_id not in dead:
            yield Violation("archive", "a dead letter whose lead is not dead", lead_id)


def _ledger(observed: ObservedState) -> Iterator[Violation]:
    for stage, lag in observed.lags.items():
        if lag:
            yield Violation("lag", f"{stage} is {lag} records behind")
    entries = {_partition(entry): entry for entry in observed.ledger}
    for entry in (each for each in observed.ledger if each is not entries[_partition(each)]):
        yield Violation("ledger", f"a new epoch on the same log: {entry}, {entries[_partition(entry)]}")
    for stage, topics in READ_BY.items():
        for (topic, partition), end in observed.ends.items():
            if topic in topics:
                yield from _ledger_entry(
                    f"{stage} {topic}/{partition}", entries.get((stage, topic, partition)), end
                )
    stored = Counter[str]()
    for (stage, topic, _), entry in entries.items():
        stored[stage] += entry["stored"] if topic != "audit.recorded.v1" else 0
    made = sum(row["made_by"] != "flusher" for row in observed.queue)
    for name, counted, rows in (
        ("leads stored", stored["persister"], sum(row["stored"] for row in observed.inbox.values())),
        ("queue rows made", stored["flusher"] + made, len(observed.queue)),
        ("mails of leads", 2 * stored["notifier"], len(observed.deliveries)),
    ):
        if counted != rows:
            yield Violation("ledger", f"{name}: {counted} in the ledger, {rows} rows")


def _partition(entry: dict[str, Any]) -> tuple[str, str, int]:
    return entry["stage"], entry["topic"], entry["partition"]


def _ledger_entry(partition: str, entry: dict[str, Any] | None, end: int) -> Iterator[Violation]:
    if entry is None:
        if end:
            yield Violation("ledger", f"{partition}: no ledger entry for {end} records")
    elif (entry["base_offset"], entry["next_offset"]) != (0, end):
        yield Violation("ledger", f"{partition}: {entry['base_offset']} to {entry['next_offset']} of {end}")
    elif entry["missing"]:
        yield Violation("ledger", f"{partition}: {entry['missing']} missing")
