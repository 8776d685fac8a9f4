"""Lists destinations and their deliveries, and makes an admin's changes to destinations.

The service `webhooks` sends the deliveries.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from uuid import UUID, uuid4

from contracts.audit import AuditEvent
from contracts.lead_events import example_event
from runtime.database.audit_log import append_action
from runtime.database.postgres import Connection, Pool, autocommit, load_queries, snapshot, transaction
from runtime.sites.model import Sites
from services.admin.rules.destinations import DISABLED_BY
from services.admin.rules.errors import ConflictError, NotFoundError
from services.admin.rules.send_rules import NOT_RELEASED
from services.admin.schemas.destinations import (
    DestinationList,
    DestinationState,
    DestinationSummary,
    LastTest,
    LeadDeliveries,
    LeadDelivery,
    Retried,
    SentTest,
)
from services.admin.texts import gettext, gettext_noop

# A `lead.received` with retries left is sent also if the lead has become spam (ADR 0042), so only one that is
# dead counts. A change was made while the lead was not spam: it is sent if the destination has the lead.
_IS_UNSENT: Final = """
    EXISTS (SELECT FROM lead_inbox l
            JOIN webhook_delivery r ON r.lead_id = l.id AND r.destination = d.destination
                 AND r.type = 'lead.received' AND r.state = 'dead'
            WHERE l.id = d.lead_id AND l.status IN ('spam', 'held'))
"""
SQL: Any = load_queries(Path(__file__).with_name("destinations.sql"), is_unsent=_IS_UNSENT)
RETRY_MAX: Final = 10_000
"""How many deliveries one request lets be sent again."""
NOT_IN_FILE: Final = gettext_noop("The sites file has no destination with this name.")


def kinds_of(sites: Sites) -> dict[str, str]:
    """Return the kind of each destination in the sites file, by the destination's name."""
    return {name: each.kind for name, each in sites.destinations.items()}


class Destinations:
    """Reads and changes the tables `webhook_*`. The methods raise `DependencyUnavailable`.

    The argument `kinds` of the methods maps the name of each destination in the sites file to its kind.
    """

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def list_destinations(self, kinds: Mapping[str, str]) -> DestinationList:
        """Return the destinations of the sites file, and those that were removed from it."""
        async with autocommit(self._pool) as connection:
            rows = SQL.list_destinations(connection, names=sorted(kinds))
            return DestinationList(destinations=[_destination(row, kinds) async for row in rows])

    async def enable(self, name: str, kinds: Mapping[str, str], actor: str) -> None:
        """Resume sending to a destination that is disabled or paused. Audited.

        Raises `NotFoundError` if the sites file does not contain the destination.
        """
        async with transaction(self._pool) as connection:
            await _lock(connection, name, kinds)
            await SQL.enable_destination(connection, name=name)
            await append_action(connection, AuditEvent.DESTINATION_ENABLED, actor, {"destination": name})

    async def disable(self, name: str, kinds: Mapping[str, str], actor: str) -> None:
        """Stop sending to a destination. Deliveries to it stay stored until an admin enables it. Audited.

        Raises `NotFoundError` if the sites file does not contain the destination, and `ConflictError` if the
        destination is already disabled.
        """
        async with transaction(self._pool) as connection:
            row = await _lock(connection, name, kinds)
            if row["disabled_at"] is not None:
                raise ConflictError(gettext("The destination is disabled already."))
            reason = DISABLED_BY + actor
            await SQL.disable_destination(connection, name=name, reason=reason)
            await append_action(
                connection,
                AuditEvent.DESTINATION_DISABLED,
                actor,
                {"destination": name, "reason": reason},
            )

    async def send_test(self, name: str, kinds: Mapping[str, str], actor: str) -> SentTest:
        """Send a test event with example values to one destination. Audited.

        Raises `NotFoundError` if the sites file does not contain the destination, and `ConflictError` if the
        destination is disabled.
        """
        event_id, lead_id = uuid4(), uuid4()
        async with transaction(self._pool) as connection:
            row = await _lock(connection, name, kinds)
            if row["disabled_at"] is not None:
                raise ConflictError(gettext("The destination is disabled: enable it first."))
            body = example_event(lead_id, datetime.now(UTC)).model_dump_json()
            await SQL.insert_test_event(connection, id=event_id, lead_id=lead_id, name=name, body=body)
            await SQL.set_last_test(connection, name=name, event_id=event_id)
            details = {"destination": name, "event_id": str(event_id)}
            await append_action(connection, AuditEvent.DESTINATION_TESTED, actor, details)
        return SentTest(event_id=event_id)

    async def retry(self, name: str, kinds: Mapping[str, str], actor: str) -> Retried:
        """Resend at most 10,000 failed or dead deliveries of a destination now. Audited.

        A failed delivery has retries left. A dead delivery has none. Leaves out deliveries of leads that are
        spam or held and whose `lead.received` is dead. Raises `NotFoundError` if the sites file
        does not contain the destination.
        """
        async with transaction(self._pool) as connection:
            await _lock(connection, name, kinds)
            rows = SQL.lock_failed(connection, name=name, limit=RETRY_MAX)
            event_ids = [row["event_id"] async for row in rows]
            await SQL.restart_deliveries(connection, event_ids=event_ids, name=name)
            retried = len(event_ids)
            left = await SQL.count_failed(connection, name=name)
            if retried:
                details = {"destination": name, "retried": retried}
                await append_action(connection, AuditEvent.DESTINATION_RETRIED, actor, details)
        return Retried(retried=retried, left=left)

    async def resend(
        self,
        lead_id: UUID,
        event_id: UUID,
        name: str,
        kinds: Mapping[str, str],
        actor: str,
        *,
        if_delivered: bool = False,
    ) -> None:
        """Send one delivery of a lead now, with the same `webhook-id`. Audited.

        A delivery that has arrived is sent again only with `if_delivered`. Raises `NotFoundError` if there is
        no such delivery, or if the sites file does not contain the destination.

        Raises `ConflictError` in these cases:

        - The lead was erased.
        - The lead is spam or held, and its `lead.received` is dead.
        - The destination is disabled.
        - The delivery was suppressed, or is being sent.
        """
        if name not in kinds:
            raise NotFoundError(gettext(NOT_IN_FILE))
        async with transaction(self._pool) as connection:
            event = await SQL.lock_event(connection, lead_id=lead_id, event_id=event_id)
            row = await SQL.lock_delivery(connection, event_id=event_id, name=name) if event else None
            if event is None or row is None:
                raise NotFoundError(gettext("The lead has no such delivery."))
            if event["is_erased"]:
                raise ConflictError(gettext("The lead is erased: its data is not sent any more."))
            if row["is_disabled"]:
                raise ConflictError(gettext("The destination is disabled: enable it first."))
            _check_resendable(row["state"], if_delivered=if_delivered)
            if row["is_unsent"]:
                raise ConflictError(gettext(NOT_RELEASED))
            await SQL.restart_deliveries(connection, event_ids=[event_id], name=name)
            details = {"destination": name, "event": event["type"], "event_id": str(event_id)}
            await append_action(connection, AuditEvent.DELIVERY_RESENT, actor, details, lead_id)

    async def list_lead_deliveries(self, lead_id: UUID) -> LeadDeliveries:
        """Return the deliveries of a lead's events, at most 1,000."""
        async with snapshot(self._pool) as connection:
            return LeadDeliveries(deliveries=await list_lead_deliveries(connection, lead_id))


async def list_lead_deliveries(connection: Connection, lead_id: UUID) -> list[LeadDelivery]:
    """Return the deliveries of a lead's events in the order of the events, at most 1,000."""
    rows = SQL.list_lead_deliveries(connection, lead_id=lead_id)
    return [LeadDelivery(**dict(row)) async for row in rows]


async def _lock(connection: Connection, name: str, kinds: Mapping[str, str]) -> Mapping[str, Any]:
    if name not in kinds:
        raise NotFoundError(gettext(NOT_IN_FILE))
    row: Mapping[str, Any] = await SQL.lock_destination(connection, name=name)
    return row


def _check_resendable(state: str, *, if_delivered: bool) -> None:
    """Raise `ConflictError` if a delivery in this state must not be sent again."""
    if state in ("pending", "sending"):
        raise ConflictError(gettext("The delivery is being sent already."))
    if state == "suppressed":
        raise ConflictError(gettext("There is nothing to send: the delivery was suppressed."))
    if state == "delivered" and not if_delivered:
        raise ConflictError(gettext("The delivery has arrived. Confirm that it is sent again."))


def _destination(row: Mapping[str, Any], kinds: Mapping[str, str]) -> DestinationSummary:
    state: DestinationState = "healthy"
    since = reason = paused_until = None
    if row["name"] not in kinds:
        state = "removed"
    elif row["disabled_at"]:
        state, since, reason = "disabled", row["disabled_at"], row["disabled_reason"]
    elif row["paused_until"]:
        state, since, reason = "paused", row["paused_since"], row["last_reason"]
        paused_until = row["paused_until"]
    same = {name: row[name] for name in _SAME}
    test = LastTest(**{name: row[name] for name in LastTest.model_fields}) if row["event_id"] else None
    return DestinationSummary(
        name=row["name"],
        kind=kinds.get(row["name"]),
        state=state,
        since=since,
        reason=reason,
        paused_until=paused_until,
        last_failure_reason=row["last_reason"],
        last_test=test,
        **same,
    )


_SAME: Final = (
    "waiting", "retrying", "dead", "delivered_last_day", "oldest_waiting_at", "duration_p50_ms",
    "duration_p95_ms", "last_success_at", "last_failure_at",
)  # fmt: skip
