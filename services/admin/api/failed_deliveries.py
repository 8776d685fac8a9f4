"""The failed deliveries to destinations: their groups, and the deliveries of a group."""

from typing import Annotated

from fastapi import APIRouter, Query

from services.admin.adapters import CurrentAdapters
from services.admin.schemas.failed_deliveries import DeliveryFilter, DeliveryGroups, DeliveryPage, GroupQuery

router = APIRouter(tags=["destinations"])


@router.get("/deliveries/groups", summary="Failed deliveries to destinations, grouped by failure")
async def list_delivery_groups(
    query: Annotated[GroupQuery, Query()], adapters: CurrentAdapters
) -> DeliveryGroups:
    """Return the groups of failed deliveries with the same destination, event, reason and state.

    To resend a group, start a bulk change with the action `retry` (`POST /admin/bulk`).
    """
    return await adapters.failed_deliveries.list_groups(query.destination)


@router.get("/deliveries", summary="Failed deliveries to a destination")
async def list_failed_deliveries(
    filters: Annotated[DeliveryFilter, Query()], adapters: CurrentAdapters
) -> DeliveryPage:
    """Return failed deliveries to a destination, the most recent failure first.

    The deliveries match all parameters.
    """
    return await adapters.failed_deliveries.list_deliveries(filters)
