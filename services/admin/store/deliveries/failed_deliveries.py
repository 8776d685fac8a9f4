"""Lists the failed deliveries to destinations, and groups them. `store.bulk` resends them."""

from collections.abc import Collection
from pathlib import Path
from typing import Any, Final

from runtime.database.postgres import Pool, load_queries, snapshot
from services.admin.schemas.cursors import Position, split_page
from services.admin.schemas.failed_deliveries import (
    FAILED_STATES,
    MAX_COUNTED,
    DeliveryFilter,
    DeliveryGroup,
    DeliveryGroups,
    DeliveryPage,
    FailedDelivery,
    FailedState,
)
from services.admin.store.planning import plan_for_values

_SQL: Any = load_queries(Path(__file__).with_name("failed_deliveries.sql"))
# Reasons are a closed list of words and codes, so groups are few.
MAX_GROUPS: Final = 500
# How many deliveries are counted at most, in all groups. Counting them takes about 40 ms.
COUNT_BUDGET: Final = 100_000


class FailedDeliveries:
    """Reads the failed rows of the table `webhook_delivery`. The methods raise `DependencyUnavailable`."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def list_groups(
        self, destination: str | None = None, states: Collection[FailedState] = FAILED_STATES
    ) -> DeliveryGroups:
        """Return the groups of failed deliveries in these states, the largest group first.

        They are those of one destination, or of all.
        """
        if not states:
            return DeliveryGroups(groups=[])
        async with snapshot(self._pool) as connection:
            await plan_for_values(connection)
            rows = _SQL.list_groups(
                connection,
                destination=destination,
                states=list(states),
                limit=MAX_GROUPS,
                max_counted=MAX_COUNTED,
                budget=COUNT_BUDGET,
            )
            groups = [DeliveryGroup.model_validate(dict(row)) async for row in rows]
        return DeliveryGroups(groups=groups)

    async def list_deliveries(self, filters: DeliveryFilter) -> DeliveryPage:
        """Return a page of the failed deliveries that match, the most recent failure first."""
        async with snapshot(self._pool) as connection:
            await plan_for_values(connection)
            rows = _SQL.list_deliveries(
                connection,
                destination=filters.destination,
                **filters.selection(),
                **filters.after(),
                limit=filters.limit + 1,
            )
            found = [FailedDelivery.model_validate(dict(row)) async for row in rows]
        page, next_cursor = split_page(
            found, filters.limit, lambda each: Position(each.failed_at, each.event_id)
        )
        return DeliveryPage(deliveries=page, limit=filters.limit, next_cursor=next_cursor)
