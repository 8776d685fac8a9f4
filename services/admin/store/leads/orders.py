"""Lists leads in orders other than newest first, with keyset pagination.

A page begins after the last lead of the previous page. So if a lead is added or changed meanwhile, all other
leads stay on their pages. With an offset, leads would move to other pages.
"""

from pathlib import Path
from typing import Any, Final

from runtime.database.postgres import Connection, load_queries
from services.admin.schemas.cursors import SortPosition
from services.admin.schemas.filters import LeadFilter
from services.admin.schemas.leads import LeadSummary

_NAME: Final = "CASE WHEN name > '' THEN '0' || lower(name) ELSE '1' END"
_ASSIGNEE: Final = "CASE WHEN assignee > '' THEN '0' || assignee ELSE '1' END"
_NEXT: Final = "(created_at_utc, id) < (:after_at::timestamptz, :after_id::uuid)"
_PREVIOUS: Final = "(created_at_utc, id) > (:after_at::timestamptz, :after_id::uuid)"


def _grouped(key: str) -> dict[str, tuple[str, str, str]]:
    """Return the queries' parts for an order by `key`, ascending and descending.

    Many leads may have the same key. They are sorted newest first, or oldest first if the order is
    descending. The first comparison with `after_key` limits how much of the index is read.
    """
    after = ":after_key::text"
    return {
        "": (
            key,
            f"{key}, created_at_utc DESC, id DESC",
            f"({key} >= {after} AND ({key} > {after} OR {_NEXT}))",
        ),
        "_desc": (
            key,
            f"{key} DESC, created_at_utc, id",
            f"({key} <= {after} AND ({key} < {after} OR {_PREVIOUS}))",
        ),
    }


# The key, the order, and the condition of the rows beyond a position.
_ORDERS: Final[dict[str, tuple[str, str, str]]] = {
    "newest": ("created_at_utc", "created_at_utc DESC, id DESC", _NEXT),
    "oldest": ("created_at_utc", "created_at_utc, id", _PREVIOUS),
    "name": (_NAME, f"{_NAME}, id", f"({_NAME}, id) > (:after_key::text, :after_id::uuid)"),
    "name_desc": (_NAME, f"{_NAME} DESC, id DESC", f"({_NAME}, id) < (:after_key::text, :after_id::uuid)"),
    **{f"status{suffix}": order for suffix, order in _grouped("status").items()},
    **{f"assignee{suffix}": order for suffix, order in _grouped(_ASSIGNEE).items()},
    "updated": (
        "updated_at",
        "updated_at DESC, id DESC",
        "(updated_at, id) < (:after_key::text::timestamptz, :after_id::uuid)",
    ),
    "updated_asc": (
        "updated_at",
        "updated_at, id",
        "(updated_at, id) > (:after_key::text::timestamptz, :after_id::uuid)",
    ),
}
# Names are personal data and must not be in a cursor, which is part of a URL. These orders read the last
# lead's key instead.
_BY_NAME: Final = ("name", "name_desc")
# If a filter selects one assignee, or leads without one, all leads have the same key. Sort them by time
# instead. Otherwise the index would be read from the first assignee on.
_OF_ONE_ASSIGNEE: Final = {"assignee": "newest", "assignee_desc": "oldest"}


def load_orders(lead_filter: str) -> dict[str, Any]:
    """Return the queries of each sort order, by its name. `lead_filter` is the SQL in lead_filter.sql."""
    path = Path(__file__).with_name("sorted.sql")
    return {
        name: load_queries(path, lead_filter=lead_filter, key=key, order=order, beyond=beyond)
        for name, (key, order, beyond) in _ORDERS.items()
    }


async def list_sorted(
    queries: dict[str, Any],
    connection: Connection,
    filters: LeadFilter,
    selection: dict[str, Any],
    *,
    few: bool,
) -> tuple[list[LeadSummary], str | None]:
    """Return a page of leads in the order of the filter, and the cursor of the next page.

    Set `few` if few leads match. They are then all read and sorted, which is faster than an index.
    """
    order, is_by_name = str(filters.sort), filters.sort in _BY_NAME
    if filters.assignee or filters.unassigned:
        order = _OF_ONE_ASSIGNEE.get(order, order)
    sql = queries[order]
    find = sql.gather_sorted if few else sql.list_sorted
    after = filters.sort_position()
    key = after and after.key
    if after and is_by_name:
        key = await sql.find_key(connection, id=after.id)
    rows = [
        row
        async for row in find(
            connection,
            **selection,
            after_key=key,
            after_at=after and after.at,
            after_id=after and after.id,
            limit=filters.limit + 1,
            offset=filters.offset,
        )
    ]
    page = rows[: filters.limit]
    cursor = None
    if len(rows) > filters.limit:
        last = page[-1]
        shown_key = "" if is_by_name else last["sort_key"]
        cursor = SortPosition(last["created_at_utc"], last["id"], shown_key).cursor()
    return [LeadSummary.model_validate(dict(row)) for row in page], cursor
