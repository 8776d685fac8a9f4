"""Held leads: lists the sites that have held leads, and releases a site's leads or marks them as spam."""

from pathlib import Path
from typing import Any, Final

from contracts.leads import LeadStatus
from runtime.database.postgres import Pool, autocommit, load_queries, snapshot, transaction
from services.admin.schemas.held_leads import HeldDecision, HeldLeadsDecided, HeldSite
from services.admin.store.leads.status_changes import change_statuses

_SQL: Any = load_queries(Path(__file__).with_name("held.sql"))
# The largest number of held leads of a site that are counted, or changed by one request.
MAX_LEADS: Final = 10_000
# The largest number of leads that one transaction changes. The largest leads take 70 MiB of memory then.
CHUNK: Final = 100


class HeldLeads:
    """Lists leads with the status `held`, and releases them or marks them as spam."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def list_sites(self) -> list[HeldSite]:
        """Return the sites that have held leads. Considers only the newest 10,000 held leads of each site.

        Raises `DependencyUnavailable`.
        """
        async with autocommit(self._pool) as connection:
            rows = [dict(row) async for row in _SQL.held_by_site(connection, bound=MAX_LEADS)]
        return [HeldSite.model_validate(row) for row in rows]

    async def decide(self, decision: HeldDecision, actor: str) -> HeldLeadsDecided:
        """Set the new status of the held leads of a site, and request the emails that become due.

        Changes at most 10,000 leads. Each transaction changes at most 100 leads, and writes an audit entry
        for each lead. If the call fails half-way, the remaining leads are still held: call it again to
        continue. Raises `DependencyUnavailable`.
        """
        changed = 0
        while changed < MAX_LEADS:
            chunk = await self._decide_chunk(decision, actor)
            changed += chunk
            if chunk < CHUNK:
                break
        return HeldLeadsDecided(site=decision.site, changed=changed, left=await self.count(decision))

    async def count(self, decision: HeldDecision) -> int:
        """Return the number of held leads that the decision applies to, up to 10,000.

        Raises `DependencyUnavailable`.
        """
        async with snapshot(self._pool) as connection:
            count: int = await _SQL.count_held(
                connection, site=decision.site, until=decision.until, bound=MAX_LEADS
            )
        return count

    async def _decide_chunk(self, decision: HeldDecision, actor: str) -> int:
        new = LeadStatus(decision.new_status)
        async with transaction(self._pool) as connection:
            rows = _SQL.lock_held(connection, site=decision.site, until=decision.until, bound=CHUNK)
            leads = [row async for row in rows]
            if not leads:
                return 0
            await change_statuses(connection, leads, new, actor, {})
        return len(leads)
