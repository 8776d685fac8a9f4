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
from runtime.database.postgres import Connection, Pool, load_queries, snapshot, transaction
from runtime.sites.model import Sites
from services.admin.rules.errors import ConflictError, NotFoundError
from services.admin.schemas.destinations import (
    Destination,
    DestinationList,
    DestinationState,
    LeadDeliveries,
    LeadDelivery,
    Retried,
    SentTest,
)
from services.admin.texts import gettext

_SQL: Any = load_queries(Path(__file__).with_name("destinations.sql"))
RETRY_MAX: Final = 10_000
"""How many deliveries one request lets be sent again."""


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
        async with snapshot(self._pool) as connection:
            rows = _SQL.list_destinations(connection, names=sorted(kinds))
            return DestinationList(destinations=[_destination(row, kinds) async for row in rows])

    async def enable(self, name: str, kinds: Mapping[str, str], actor: str) -> None:
        """Resume sending to a destination that is disabled or paused. Audited.

        Raises `NotFoundError` if the sites file does not contain the destination.
        """
        async with transaction(self._pool) as connection:
            await _lock(connection, name, kinds)
            await _SQL.enable_destination(connection, name=name)
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
            reason = f"disabled by {actor}"
            await _SQL.disable_destination(connection, name=name, reason=reason)
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
            await _SQL.insert_test_event(connection, id=event_id, lead_id=lead_id, name=name, body=body)
            details = {"destination": name, "event_id": str(event_id)}
            await append_action(connection, AuditEvent.DESTINATION_TESTED, actor, details)
        return SentTest(event_id=event_id)

    async def retry(self, name: str, kinds: Mapping[str, str], actor: str) -> Retried:
        """Make at most 10,000 failed or dead deliveries of a destination due now. Audited.

        A failed delivery has retries left. A dead delivery has none. Raises `NotFoundError` if the sites file
        does not contain the destination.
        """
        async with transaction(self._pool) as connection:
            await _lock(connection, name, kinds)
            retried = await _SQL.retry(connection, name=name, limit=RETRY_MAX)
            left = await _SQL.count_failed(connection, name=name)
            if retried:
                details = {"destination": name, "retried": retried}
                await append_action(connection, AuditEvent.DESTINATION_RETRIED, actor, details)
        return Retried(retried=retried, left=left)

    async def list_lead_deliveries(self, lead_id: UUID) -> LeadDeliveries:
        """Return the deliveries of a lead's events, at most 1,000."""
        async with snapshot(self._pool) as connection:
            rows = _SQL.list_lead_deliveries(connection, lead_id=lead_id)
            return LeadDeliveries(deliveries=[LeadDelivery(**dict(row)) async for row in rows])


async def _lock(connection: Connection, name: str, kinds: Mapping[str, str]) -> Mapping[str, Any]:
    if name not in kinds:
        raise NotFoundError(gettext("The sites file has no destination with this name."))
    row: Mapping[str, Any] = await _SQL.lock_destination(connection, name=name)
    return row


def _destination(row: Mapping[str, Any], kinds: Mapping[str, str]) -> Destination:
    state: DestinationState = "healthy"
    since = reason = None
    if row["name"] not in kinds:
        state = "removed"
    elif row["disabled_at"]:
        state, since, reason = "disabled", row["disabled_at"], row["disabled_reason"]
    elif row["paused"]:
        state, since, reason = "paused", row["paused_since"], row["last_reason"]
    same = {name: row[name] for name in _SAME}
    return Destination(
        name=row["name"], kind=kinds.get(row["name"]), state=state, since=since, reason=reason, **same
    )


_SAME: Final = (
    "waiting", "dead", "delivered_last_day", "oldest_waiting_at", "last_success_at", "last_failure_at",
)  # fmt: skip
