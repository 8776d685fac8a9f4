"""Compares what the receiver got with the leads and their changes. Pure, without code of the services."""

from collections.abc import Iterator, Mapping

from tests.faults.arrivals import Arrivals
from tests.faults.injections.poison_records import Poisoner
from tests.faults.load import Lead
from tests.faults.observed_state import ObservedState
from tests.faults.violations import Violation

RECEIVED, ERASED = "lead.received", "lead.erased"


def check_deliveries(
    observed: ObservedState, leads: Mapping[str, Lead], poison: Poisoner
) -> Iterator[Violation]:
    """Yield a violation for each broken promise of deliveries to the destination, and of the outbox."""
    if observed.arrivals is None:
        return
    yield from _changes(observed, leads)
    yield from _contents(observed.arrivals)
    yield from _events(observed, observed.arrivals, poison)
    yield from _rows(observed, observed.arrivals)
    yield from _outbox(observed)


def _changes(observed: ObservedState, leads: Mapping[str, Lead]) -> Iterator[Violation]:
    """What the admin service confirmed must be in the audit log, which says what the receiver must hear."""
    for lead in leads.values():
        confirmed = [status for status, answer in lead.changes if answer == 200]
        erased = observed.inbox.get(lead.id, {}).get("status") == "erased"
        stored = [*observed.changes.get(lead.id, []), *(["erased"] if erased else [])]
        if any(status not in stored for status in confirmed):
            yield Violation("lost change", f"confirmed {confirmed}, stored {stored}", lead.id)
        for status, answer in lead.changes:
            if answer not in (0, 200, 404, 503):
                yield Violation("answer", f"{answer} to the change to {status}", lead.id)


def _contents(arrivals: Arrivals) -> Iterator[Violation]:
    if arrivals.unverified:
        yield Violation("signature", f"{arrivals.unverified} requests were not signed correctly")
    if arrivals.redirected:
        yield Violation("redirect", f"{arrivals.redirected} redirects were followed")
    for event_id, contents in arrivals.contents.items():
        if len(contents) > 1:
            yield Violation("content", f"{len(contents)} contents under the webhook-id {event_id}")


def _events(observed: ObservedState, arrivals: Arrivals, poison: Poisoner) -> Iterator[Violation]:
    arrived: dict[str, list[str]] = {}
    for event in arrivals.events.values():
        arrived.setdefault(event.lead_id, []).append(event.name)
        row = observed.inbox.get(event.lead_id)
        is_kept = event.type == RECEIVED and row is not None and row["status"] != "erased"
        if is_kept and row and event.data["message"] != row["message"]:
            yield Violation("altered event", "another message than the stored one", event.lead_id)
    for lead_id, row in observed.inbox.items():
        found = arrived.pop(lead_id, [])
        changes = [f"lead.status_changed {status}" for status in observed.changes.get(lead_id, [])]
        expected = [] if row["status"] == "spam" else [RECEIVED, *changes]
        if row["status"] == "erased":
            yield from _erased(lead_id, found, expected)
        elif found != expected:
            kind = "lost event" if set(expected) - set(found) else "order of events"
            yield Violation(kind, f"arrived: {found}, expected: {expected}", lead_id)
    for lead_id in arrived.keys() - poison.unstorable.keys():
        yield Violation("invented", f"{arrived[lead_id]} of no lead", lead_id)


def _erased(lead_id: str, found: list[str], expected: list[str]) -> Iterator[Violation]:
    """Of an erased lead, the first events may have arrived. Then the erasure must be the last one."""
    before = found[:-1] if found and found[-1] == ERASED else found
    if before != expected[: len(before)]:
        yield Violation("order of events", f"arrived: {found}, expected: {expected}", lead_id)
    if before and found[-1] != ERASED:
        yield Violation("lost event", f"arrived: {found}, and not the erasure", lead_id)


def _rows(observed: ObservedState, arrivals: Arrivals) -> Iterator[Violation]:
    for row in observed.destination_rows:
        erased = observed.inbox.get(row["lead_id"], {}).get("status") == "erased"
        if row["state"] != "delivered" and not (row["state"] == "suppressed" and erased):
            detail = f"{row['type']} is {row['state']} after {row['attempts']} attempts: {row['reason']}"
            yield Violation("delivery", detail, row["lead_id"])
        elif row["state"] == "delivered" and row["event_id"] not in arrivals.events:
            yield Violation("lost event", f"{row['type']} is delivered, and did not arrive", row["lead_id"])
        if arrivals.requests[row["event_id"]] > row["attempts"]:
            detail = f"{arrivals.requests[row['event_id']]} requests, {row['attempts']} attempts"
            yield Violation("delivery", detail, row["lead_id"])
    rows, counted = len(observed.destination_rows), observed.counted
    for name, number in (("wanted", observed.wanted), ("counted as wanted", counted["webhook_event"])):
        if number != rows:
            yield Violation("ledger", f"{number} deliveries {name}, {rows} rows of webhook_delivery")
    if counted["webhook_delivery"] != rows:
        detail = f"{counted['webhook_delivery']} rows of webhook_delivery counted, {rows} there"
        yield Violation("ledger", detail)


def _outbox(observed: ObservedState) -> Iterator[Violation]:
    written, published = observed.counted["outbox written"], observed.counted["outbox published"]
    if observed.unpublished or written != published:
        detail = f"{written} rows written, {published} published, {observed.unpublished} wait"
        yield Violation("outbox", detail)
    on_topic = {event_id for ids in observed.published.values() for event_id, _ in ids}
    if len(on_topic) != published:
        yield Violation("outbox", f"{published} rows published, {len(on_topic)} events on the topic")
    for lead_id, stored in observed.changes.items():
        found = [name for _, name in observed.published.get(lead_id, [])]
        if found != stored:
            yield Violation("outbox", f"on the topic: {found}, changed: {stored}", lead_id)
