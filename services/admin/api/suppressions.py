"""The suppression list: addresses that get no confirmation. List, add and remove entries."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query

from services.admin.adapters import CurrentAdapters
from services.admin.api.dependencies import Actor
from services.admin.api.problems import documented
from services.admin.schemas.suppressions import (
    NewSuppression,
    Suppression,
    SuppressionFilter,
    SuppressionList,
)

router = APIRouter(prefix="/suppressions", tags=["operations"])


@router.get("", summary="Addresses that get no confirmation")
async def list_suppressions(
    filters: Annotated[SuppressionFilter, Query()], adapters: CurrentAdapters
) -> SuppressionList:
    """Return the entries that have not expired, newest first. The list holds digests, never an address."""
    return await adapters.suppressions.list_entries(filters)


@router.post("", status_code=201, summary="Suppress an address")
async def add_suppression(new: NewSuppression, adapters: CurrentAdapters, actor: Actor) -> Suppression:
    """Send no confirmation to this address for 180 days. Only a digest of it is stored. This is audited."""
    return await adapters.suppressions.add(new, actor)


@router.delete("/{suppression_id}", status_code=204, summary="Remove an entry", responses=documented(404))
async def remove_suppression(suppression_id: UUID, adapters: CurrentAdapters, actor: Actor) -> None:
    """Send confirmations to the address again. This is audited."""
    await adapters.suppressions.remove(suppression_id, actor)
