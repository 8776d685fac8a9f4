"""Incidents: failures that last. Admin processes record them, and people acknowledge and resolve them."""

from datetime import timedelta
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from pydantic_core import to_jsonable_python

from contracts.audit import AuditEvent
from runtime.database.audit_log import append_action
from runtime.database.postgres import Connection, Pool, load_queries, snapshot, transaction
from services.admin.rules.errors import ConflictError, NotFoundError
from services.admin.schemas.incidents import LASTS_AFTER, Incident, IncidentFilter, IncidentList, Sighting
from services.admin.texts import gettext

_SQL: Any = load_queries(Path(__file__).with_name("incidents.sql"))
SYSTEM_ACTOR: Final = "fastcore"
# A failure that comes and goes is one incident.
GONE_AFTER: Final = timedelta(minutes=5)
KEPT: Final = timedelta(days=365)


class Incidents:
    """Reads and changes the table `incident`. Raises `DependencyUnavailable`."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def record(self, sightings: list[Sighting]) -> None:
        """Open or update the incident of each sighting, and resolve incidents whose failures have ended.

        A failure that comes back after `GONE_AFTER` is another incident, with its own `first_seen_at`. This
        is so even if no process called this method in between. Several processes may call it at the same
        time, because there is only one open incident for each key. If several sightings have the same key,
        only the first is recorded.
        """
        by_key = {each.key: each for each in reversed(sightings)}
        async with transaction(self._pool) as connection:
            # Before the update, which would set `last_seen_at` of an old incident to now.
            await _SQL.resolve_gone(connection, actor=SYSTEM_ACTOR, gone_after=GONE_AFTER)
            if by_key:
                await _SQL.record_sightings(connection, sightings=to_jsonable_python(list(by_key.values())))
            await _SQL.forget(connection, actor=SYSTEM_ACTOR, kept=KEPT, lasts_after=LASTS_AFTER)

    async def list_incidents(self, filters: IncidentFilter) -> IncidentList:
        """Return the incidents that match the filters."""
        is_open = None if filters.state is None else filters.state == "open"
        async with snapshot(self._pool) as connection:
            rows = _SQL.list_incidents(connection, open=is_open, lasts_after=LASTS_AFTER, limit=filters.limit)
            return IncidentList(incidents=[Incident(**dict(row)) async for row in rows])

    async def acknowledge(self, incident_id: UUID, owner: str, actor: str) -> Incident:
        """Set the owner of an open incident, and audit that.

        Raises `NotFoundError` if the incident does not exist, and `ConflictError` if it is resolved.
        """
        async with transaction(self._pool) as connection:
            await _lock_open(connection, incident_id)
            incident = Incident(**dict(await _SQL.acknowledge(connection, id=incident_id, owner=owner)))
            await _audit(connection, AuditEvent.INCIDENT_ACKNOWLEDGED, actor, incident, owner=owner)
        return incident

    async def resolve(self, incident_id: UUID, actor: str) -> Incident:
        """Resolve an open incident, and audit that.

        If the failure has not ended, the next call of `record` opens another incident. Raises
        `NotFoundError` if the incident does not exist, and `ConflictError` if it is already resolved.
        """
        async with transaction(self._pool) as connection:
            await _lock_open(connection, incident_id)
            incident = Incident(**dict(await _SQL.resolve(connection, id=incident_id, actor=actor)))
            await _audit(connection, AuditEvent.INCIDENT_RESOLVED, actor, incident)
        return incident


async def _lock_open(connection: Connection, incident_id: UUID) -> None:
    row = await _SQL.lock_incident(connection, id=incident_id)
    if row is None:
        raise NotFoundError(gettext("There is no incident with this id."))
    if row["resolved_at"] is not None:
        raise ConflictError(gettext("The incident is resolved already."))


async def _audit(
    connection: Connection, event: AuditEvent, actor: str, incident: Incident, **details: Any
) -> None:
    about = {"incident_id": str(incident.id), "component": incident.component}
    await append_action(connection, event, actor, about | details)
