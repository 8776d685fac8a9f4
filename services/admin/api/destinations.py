"""Destinations: list, test, disable and enable them, and send their failed deliveries now."""

from collections.abc import Mapping
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Path, Request

from services.admin.adapters import CurrentAdapters
from services.admin.api.dependencies import Actor
from services.admin.api.problems import documented
from services.admin.schemas.destinations import DestinationList, LeadDeliveries, Retried, SentTest
from services.admin.store.deliveries.destinations import kinds_of

router = APIRouter(tags=["destinations"])


async def _kinds(request: Request) -> Mapping[str, str]:
    """Return the kinds of the destinations of the sites file, by name."""
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
    """Send an event `lead.test` with example values to one destination, within seconds. Audited."""
    return await adapters.destinations.send_test(name, kinds, actor)


@router.post(
    "/destinations/{name}/disable",
    summary="Disable a destination",
    status_code=204,
    responses=documented(404, 409),
)
async def disable_destination(name: Name, adapters: CurrentAdapters, kinds: Kinds, actor: Actor) -> None:
    """Send nothing more to a destination. Its deliveries wait, and none is lost. Audited."""
    await adapters.destinations.disable(name, kinds, actor)


@router.post(
    "/destinations/{name}/enable", summary="Enable a destination", status_code=204, responses=documented(404)
)
async def enable_destination(name: Name, adapters: CurrentAdapters, kinds: Kinds, actor: Actor) -> None:
    """Send to a destination again: what waits first. This also ends a pause. Audited."""
    await adapters.destinations.enable(name, kinds, actor)


@router.post("/destinations/{name}/retry", summary="Send failed deliveries now", responses=documented(404))
async def retry_destination(name: Name, adapters: CurrentAdapters, kinds: Kinds, actor: Actor) -> Retried:
    """Send at most 10,000 deliveries now that wait for a retry or have none left. Audited.

    Repeat the request while `left` is not 0.
    """
    return await adapters.destinations.retry(name, kinds, actor)


@router.get("/leads/{lead_id}/deliveries", summary="A lead's deliveries to destinations")
async def list_lead_deliveries(lead_id: UUID, adapters: CurrentAdapters) -> LeadDeliveries:
    """Return which destinations received this lead's events, with their last responses."""
    return await adapters.destinations.list_lead_deliveries(lead_id)
