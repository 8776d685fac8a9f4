"""Incidents: failures that lasted for at least two minutes. List, acknowledge and resolve them."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query

from services.admin.adapters import CurrentAdapters
from services.admin.api.dependencies import Actor
from services.admin.api.problems import documented
from services.admin.schemas.incidents import Acknowledgement, Incident, IncidentFilter, IncidentList

router = APIRouter(prefix="/incidents", tags=["operations"])


@router.get("", summary="Failures that last, the open ones first")
async def list_incidents(
    filters: Annotated[IncidentFilter, Query()], adapters: CurrentAdapters
) -> IncidentList:
    """Return the incidents that match all parameters. An incident opens when a failure lasts 2 minutes.

    An incident is resolved 5 minutes after its failure ends.
    """
    return await adapters.incidents.list_incidents(filters)


@router.post("/{incident_id}/acknowledge", summary="Take care of an incident", responses=documented(404, 409))
async def acknowledge_incident(
    incident_id: UUID, acknowledgement: Acknowledgement, adapters: CurrentAdapters, actor: Actor
) -> Incident:
    """Set the owner of an open incident: by default, the admin who sends the request. This is audited."""
    return await adapters.incidents.acknowledge(incident_id, acknowledgement.owner or actor, actor)


@router.post("/{incident_id}/resolve", summary="Resolve an incident", responses=documented(404, 409))
async def resolve_incident(incident_id: UUID, adapters: CurrentAdapters, actor: Actor) -> Incident:
    """Resolve an open incident. This is audited.

    If its failure lasts for 2 more minutes, another incident opens.
    """
    return await adapters.incidents.resolve(incident_id, actor)
