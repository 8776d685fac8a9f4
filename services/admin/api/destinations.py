"""Destinations: list, test, disable and enable them, and resend their deliveries."""

from collections.abc import Mapping
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Path, Query, Request

from services.admin.adapters import CurrentAdapters
from services.admin.api.dependencies import Actor
from services.admin.api.problems import documented
from services.admin.schemas.destinations import DestinationList, LeadDeliveries, Retried, SentTest
from services.admin.store.deliveries.destinations import kinds_of

router = APIRouter(tags=["destinations"])


async def _kinds(request: Request) -> Mapping[str, str]:
    """Return the kind of each destination in the sites file, by the destination's name."""
    return kinds_of(request.app.state.sites)


Kinds = Annotated[Mapping[str, str], Depends(_kinds)]
Name = Annotated[str, Path(max_length=50)]


@router.get("/destinations", summary="Destinations, their state and their deliveries")
async def list_destinations(adapters: CurrentAdapters, kinds: Kinds) -> DestinationList:
    """Return the destinations of the sites file, and those that were removed from it."""
    return await adapters.destinations.list_destinations(kinds)


@router.post(
    "/destinations/{name}/test",
    summary="Send a test event",
    status_code=202,
    responses=documented(404, 409),
)
async def test_destination(name: Name, adapters: CurrentAdapters, kinds: Kinds, actor: Actor) -> SentTest:
    """Send the event `lead.test`, with example values, to one destination within seconds. Audited."""
    return await adapters.destinations.send_test(name, kinds, actor)


@router.post(
    "/destinations/{name}/disable",
    summary="Disable a destination",
    status_code=204,
    responses=documented(404, 409),
)
async def disable_destination(name: Name, adapters: CurrentAdapters, kinds: Kinds, actor: Actor) -> None:
    """Stop sending to a destination. Its deliveries wait until an admin enables the destination. Audited."""
    await adapters.destinations.disable(name, kinds, actor)


@router.post(
    "/destinations/{name}/enable", summary="Enable a destination", status_code=204, responses=documented(404)
)
async def enable_destination(name: Name, adapters: CurrentAdapters, kinds: Kinds, actor: Actor) -> None:
    """Resume sending to a disabled or paused destination, beginning with the waiting deliveries. Audited."""
    await adapters.destinations.enable(name, kinds, actor)


@router.post("/destinations/{name}/retry", summary="Send failed deliveries now", responses=documented(404))
async def retry_destination(name: Name, adapters: CurrentAdapters, kinds: Kinds, actor: Actor) -> Retried:
    """Resend at most 10,000 failed deliveries of a destination now. Audited.

    These are the deliveries that wait for a retry and those that have no retry left. Each one gets all its
    retries again. Leads that became spam or held before the destination received them are left out. Repeat
    the request while `left` is not 0.
    """
    return await adapters.destinations.retry(name, kinds, actor)


@router.get("/leads/{lead_id}/deliveries", summary="A lead's deliveries to destinations")
async def list_lead_deliveries(lead_id: UUID, adapters: CurrentAdapters) -> LeadDeliveries:
    """Return the destinations to which this lead's events were sent, and their last responses."""
    return await adapters.destinations.list_lead_deliveries(lead_id)


@router.post(
    "/leads/{lead_id}/deliveries/{event_id}/{destination}/resend",
    summary="Send one delivery again",
    status_code=204,
    responses=documented(404, 409),
)
async def resend_delivery(
    lead_id: UUID,
    event_id: UUID,
    destination: Name,
    adapters: CurrentAdapters,
    kinds: Kinds,
    actor: Actor,
    *,
    if_delivered: Annotated[bool, Query(description="Also send a delivery that has arrived.")] = False,
) -> None:
    """Send one delivery of a lead now, with the same `webhook-id`. Audited.

    The number of retries starts again at 0. The status is 409 for an erased lead, for a disabled destination,
    for a delivery that is being sent, and for a lead that became spam or held before the destination
    received it.
    """
    await adapters.destinations.resend(
        lead_id, event_id, destination, kinds, actor, if_delivered=if_delivered
    )
