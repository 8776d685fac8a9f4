"""How each kind of query of the admin service is run as a case of the benchmark."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final
from zoneinfo import ZoneInfo

from runtime.database.postgres import snapshot
from services.admin.schemas.filters import AuditFilter, ExportFilter, LeadFilter, QueueFilter
from services.admin.schemas.lead_conditions import LeadConditions
from services.admin.schemas.replay_filters import GroupFilter, ReplayOrder, ResultPage
from services.admin.store.audit import AuditLog
from services.admin.store.deliveries.queue import ReplayQueue
from services.admin.store.deliveries.replays import Replays
from services.admin.store.leads import lead_exports
from services.admin.store.leads.leads import Leads
from services.admin.store.leads.search import count_leads
from services.admin.store.planning import plan_for_values
from services.admin.store.privacy import personal_data
from services.admin.store.views import Views

Run = Callable[[Any], Awaitable[Any]]
ZONE: Final = ZoneInfo("Europe/Berlin")


@dataclass(frozen=True)
class Case:
    """A page load or a part of it. `run` executes it with a pool. Actions may scan the queue."""

    name: str
    run: Run
    may_walk: tuple[str, ...] = ()


def view_case(name: str, view: LeadConditions) -> Case:
    return Case(f"view: {name}", lambda pool: Views(pool).count([view], ZONE, "Ann"))


def leads_case(what: str, **fields: Any) -> Case:
    return Case(f"leads: {what}", lambda pool: Leads(pool).list_leads(LeadFilter(**fields)))


def queue_case(what: str, **fields: Any) -> Case:
    return Case(f"queue: {what}", lambda pool: ReplayQueue(pool).list_items(QueueFilter(**fields)))


def audit_case(what: str, **fields: Any) -> Case:
    return Case(f"audit: {what}", lambda pool: AuditLog(pool).list_entries(AuditFilter(**fields)))


def groups_case(what: str, **fields: Any) -> Case:
    return Case(f"groups: {what}", lambda pool: ReplayQueue(pool).list_groups(GroupFilter(**fields)))


def preview_case(what: str, **fields: Any) -> Case:
    return Case(f"preview: {what}", lambda pool: Replays(pool).preview(ReplayOrder(**fields)))


def replay_case(sample: dict[str, Any], what: str, **fields: Any) -> Case:
    page = ResultPage(**fields)
    return Case(f"replay: {what}", lambda pool: Replays(pool).get_replay(sample["replay"], page))


def run_query(name: str, query: str, queries: Any = personal_data._SQL, **values: Any) -> Case:
    """Run one query alone, because the function that uses it also writes."""

    async def run(pool: Any) -> None:
        async with snapshot(pool) as connection:
            await plan_for_values(connection)
            found = getattr(queries, query)(connection, **values)
            if hasattr(found, "__aiter__"):
                async for _ in found:
                    pass
            else:
                await found

    return Case(name, run)


def export_case(what: str, **fields: Any) -> Case:
    """Count and read the rows of the first part of a CSV export."""
    wanted = ExportFilter(**fields).selection() | {"left_out": ["spam", "erased"]}
    first = run_query(
        "",
        "list_export",
        lead_exports._SQL,
        **wanted,
        after_at=None,
        after_id=None,
        limit=lead_exports.CHUNK,
    )

    async def run(pool: Any) -> None:
        async with snapshot(pool) as connection:
            await plan_for_values(connection)
            await count_leads(connection, wanted)
        await first.run(pool)

    return Case(f"CSV: {what}", run)
