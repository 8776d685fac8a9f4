"""Compares what was answered with what is there. Pure, and shares no code with the services."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from tests.faults.load import BAD, Answer, Lead, Refusal
from tests.faults.observed_state import READ_BY, Evidence
from tests.faults.poison_records import Poisoner

# What our mail server says of one mail or mailbox. Every other fault is the world's and makes no row.
_OF_THE_LEAD = re.compile(r"smtp (450|451|550)\b")


@dataclass(frozen=True)
class Violation:
    """A broken promise. `lead_id` is whose timeline to look at."""

    kind: str
    said: str
    lead_id: str | None = None


def judge(
    facts: Evidence,
    leads: Mapping[str, Lead],
    refusals: Sequence[Refusal],
    poison: Poisoner,
    refusing: Sequence[tuple[float, float]] = (),
) -> list[Violation]:
    """Return every broken promise; an empty list is the proof.

    `refusing` tells from when to when a 503 was right.
    """
    return [
        *_answers(leads, refusals, refusing),
        *_inbox(facts, leads, poison),
        *_audit(facts),
        *_mails(facts, leads, poison),
        *_queue(facts, leads, poison),
        *_archive(facts, leads, poison),
        *_books(facts),
    ]


def _answers(
    leads: Mapping[str, Lead], refusals: Sequence[Refusal], refusing: Sequence[tuple[float, float]]
) -> Iterator[Violation]:
    for lead in leads.values():
        for answer in (each for body in lead.bodies for each in body.answers):
            if answer.status == 201 and answer.lead_id != lead.id:
                yield Violation("answer", f"201 under another id: {answer.lead_id}", lead.id)
            if answer.status == 422 and len(lead.bodies) == 1:
                yield Violation("refused", "422 for a good lead", lead.id)
            if answer.status not in (0, 201, 422) and not _is_right(answer, refusing):
                yield Violation("refused", f"{answer.status} for a good lead", lead.id)
    for refusal in refusals:
        wanted = BAD[refusal.name][1] | {0}
        yield from (
            Violation("answer", f"{each.status} for a bad request ({refusal.name})")
            for each in refusal.answers
            if each.status not in wanted
        )


def _is_right(answer: Answer, refusing: Sequence[tuple[float, float]]) -> bool:
    """A 503 says when to come again, and was asked for while neither Kafka nor the spool took a lead."""
    return (
        answer.status == 503
        and answer.retry_after.isdecimal()
        and any(began <= answer.at + answer.seconds and answer.at <= ended for began, ended in refusing)
    )


def _inbox(facts: Evidence, leads: Mapping[str, Lead], poison: Poisoner) -> Iterator[Violation]:
    for lead in leads.values():
        yield from _stored(facts, lead)
    for lead_id in facts.inbox.keys() - leads.keys() - poison.odd:
        yield Violation("invented", "a row that nobody posted", lead_id)
    for lead_id in poison.odd - facts.inbox.keys():
        yield Violation("lost", "a good lead under odd headers has no row", lead_id)
    twice = Counter((row["email"], row["message"]) for row in facts.inbox.values())
    for lead_id, row in facts.inbox.items():
        if twice[row["email"], row["message"]] > 1:
            yield Violation("duplicated row", "the same lead under two ids", lead_id)


def _stored(facts: Evidence, lead: Lead) -> Iterator[Violation]:
    row = facts.inbox.get(lead.id)
    if row is None:
        if any(body.accepted for body in lead.bodies):
            yield Violation("lost", "201, and no row", lead.id)
        return
    stored = [body for body in lead.bodies if body.message == row["message"]]
    if not any(body.possible for body in stored) or row["email"] != lead.email:
        yield Violation("invented", "a row with what nobody had accepted", lead.id)
    if (row["status"] == "spam") != lead.spam:
        yield Violation("altered", f"status {row['status']}", lead.id)
    answers = [answer for body in lead.bodies for answer in body.answers]
    times = {datetime.fromisoformat(each.timestamp) for each in answers if each.status == 201}
    if all(each.status in (201, 422) for each in answers) and row["created_at_utc"] not in times:
        yield Violation("altered", "another time than the 201's", lead.id)
    parked = [
        each["payload"] or b"" for each in facts.queue if each["lead_id"] == lead.id and each["by_origin"]
    ]
    for body in lead.bodies:
        if body.accepted and body not in stored and not any(body.message.encode() in p for p in parked):
            yield Violation("lost", "201 for a second body, neither stored nor parked", lead.id)


def _audit(facts: Evidence) -> Iterator[Violation]:
    for lead_id in facts.inbox.keys() | facts.received.keys():
        wanted, found = int(lead_id in facts.inbox), facts.received[lead_id]
        if found != wanted:
            yield Violation("audit", f"{found} entries lead.received, {wanted} rows", lead_id)


def _mails(facts: Evidence, leads: Mapping[str, Lead], poison: Poisoner) -> Iterator[Violation]:
    for lead_id in facts.inbox:
        for kind in ("welcome", "admin_alert"):
            yield from _mail(facts, leads.get(lead_id), lead_id, kind)
    for lead_id, kind in facts.mails:
        if lead_id not in facts.inbox and lead_id not in poison.unstorable:
            yield Violation("invented", f"a {kind} of no lead", lead_id if "-" in lead_id else None)


def _mail(facts: Evidence, lead: Lead | None, lead_id: str, kind: str) -> Iterator[Violation]:
    state, mails = facts.deliveries.get((lead_id, kind)), facts.mails[lead_id, kind]
    unknown, wanted = facts.unknown[lead_id, kind], "sent"
    if lead and lead.spam:
        wanted = "suppressed"
    elif lead and lead.mailing == "refused" and kind == "welcome":
        wanted = "dead"
    elif kind == "welcome" and unknown:
        wanted = "unknown"
    if state != wanted:
        yield Violation("mail state", f"{kind} is {state}, not {wanted}", lead_id)
    if mails > 1 and (kind == "welcome" or unknown < mails - 1):
        yield Violation("duplicated mail", f"{kind} arrived {mails} times, {unknown} unknown", lead_id)
    if mails == 0 and state == "sent":
        yield Violation("lost mail", f"{kind} is sent, and did not arrive", lead_id)
    if mails and state in ("suppressed", "dead"):
        yield Violation("mail state", f"{kind} is {state}, and arrived", lead_id)


def _queue(facts: Evidence, leads: Mapping[str, Lead], poison: Poisoner) -> Iterator[Violation]:
    values = {each.value for each in poison.undecodable}
    for row in facts.queue:
        lead_id, kind, state, reason = row["lead_id"], row["kind"], row["state"], row["reason"]
        lead = leads.get(lead_id)
        if lead_id in poison.unstorable:
            explained = True
        elif row["stage"] == "persister":
            conflict = reason == "conflict" and lead is not None and len(lead.bodies) > 1
            explained = state == "dead" and (
                conflict or (reason == "undecodable" and row["payload"] in values)
            )
        else:
            unknown = bool(facts.unknown[lead_id, kind])
            of_lead = unknown or bool(_OF_THE_LEAD.match(reason))
            may_be_dead = kind == "welcome" and (unknown or (lead is not None and lead.mailing == "refused"))
            explained = of_lead and (state == "resolved" or (state == "dead" and may_be_dead))
        if not explained:
            said = f"{row['stage']} {kind} is {state} after {row['attempts']} retries: {reason}"
            yield Violation("queue", said, lead_id)
    kept = {row["payload"] for row in facts.queue}
    for lead_id, each in poison.unstorable.items():
        if each.value not in kept:
            yield Violation("lost", "what no database takes is not in the queue", lead_id)


def _archive(facts: Evidence, leads: Mapping[str, Lead], poison: Poisoner) -> Iterator[Violation]:
    for each in poison.undecodable:
        found = [one for one in facts.archive if (one.key, one.value) == (each.key, each.value)]
        if not found:
            yield Violation("lost", f"poison {each.key!r} is not in the archive byte for byte")
        if len({one.event_id for one in found}) > 1:
            yield Violation("duplicated letter", f"poison {each.key!r} died under two event ids")
    known = {(each.key, each.value) for each in poison.undecodable}
    dead = {row["lead_id"] for row in facts.queue if row["state"] == "dead"}
    for one in facts.archive:
        lead_id = (one.key or b"").decode(errors="replace")
        if (one.key, one.value) not in known and lead_id not in dead:
            yield Violation("archive", "a dead letter of what is not dead", lead_id)


def _books(facts: Evidence) -> Iterator[Violation]:
    for stage, lag in facts.lags.items():
        if lag:
            yield Violation("lag", f"{stage} is {lag} records behind")
    pages = {(page["stage"], page["topic"], page["partition"]): page for page in facts.pages}
    if len(pages) < len(facts.pages):
        yield Violation("books", "a new epoch on the same log")
    for stage, topics in READ_BY.items():
        for (topic, partition), end in facts.ends.items():
            if topic in topics:
                yield from _page(f"{stage} {topic}/{partition}", pages.get((stage, topic, partition)), end)
    stored = Counter[str]()
    for (stage, topic, _), page in pages.items():
        stored[stage] += page["stored"] if topic != "audit.recorded.v1" else 0
    made = sum(row["made_by"] != "flusher" for row in facts.queue)
    for said, books, rows in (
        ("leads stored", stored["persister"], len(facts.inbox)),
        ("queue rows made", stored["flusher"] + made, len(facts.queue)),
        ("mails of leads", 2 * stored["notifier"], len(facts.deliveries)),
    ):
        if books != rows:
            yield Violation("books", f"{said}: {books} in the books, {rows} rows")


def _page(where: str, page: dict[str, Any] | None, end: int) -> Iterator[Violation]:
    if page is None:
        if end:
            yield Violation("books", f"{where}: no page for {end} records")
    elif (page["base_offset"], page["next_offset"]) != (0, end):
        yield Violation("books", f"{where}: {page['base_offset']} to {page['next_offset']} of {end}")
    elif page["missing"]:
        yield Violation("books", f"{where}: {page['missing']} missing")
