"""Reads the canaries, and sets the gauges of the hops that fail."""

import time
from itertools import groupby
from pathlib import Path
from typing import Any, Final

from runtime import metrics
from runtime.database.postgres import Pool, load_queries, snapshot
from runtime.failures import DependencyUnavailable
from services.admin.rules.canary_hops import FAILING_AFTER, HopResult, SentCanary, hops_of, route_status
from services.admin.schemas.canary import CanaryStatus

_SQL: Any = load_queries(Path(__file__).with_name("canaries.sql"))
NEWEST: Final = 5
# A restart of the database is no failure of it. After its return, the flusher sends a canary within a minute.
DATABASE_SECONDS: Final = 60.0
OVERDUE_GRACE_SECONDS: Final = 120.0
Key = tuple[str, str]


async def read_canaries(pool: Pool) -> CanaryStatus:
    """Return the status of the canary, by route. Raises `DependencyUnavailable`."""
    async with snapshot(pool) as connection:
        job = await _SQL.read_job(connection)
        if job is None or not job["is_on"]:
            return CanaryStatus(is_on=False)
        routes = dict[Key, list[SentCanary]]()
        if not job["is_without_sites"]:
            routes = _by_route([row async for row in _SQL.list_newest(connection, newest=NEWEST)])
        hops = [(*key, hop) for key, canaries in routes.items() for hop in hops_of(canaries)]
        worked = _SQL.list_last_worked(
            connection,
            sites=[site for site, _, _ in hops],
            routes=[route for _, route, _ in hops],
            hops=[hop for _, _, hop in hops],
        )
        worked = [row async for row in worked]
    last_worked: dict[Key, dict[str, HopResult]] = {}
    for row in worked:
        result = HopResult(True, row["reason"], row["seconds"], row["finished_at"])
        last_worked.setdefault((row["site"], row["route"]), {})[row["hop"]] = result
    return CanaryStatus(
        is_on=True,
        is_overdue=job["is_overdue"],
        last_run_at=job["last_started_at"],
        routes=[
            route_status(canaries, last_worked.get(key, {}), job["read_at"])
            for key, canaries in routes.items()
        ],
    )


def _by_route(rows: list[Any]) -> dict[Key, list[SentCanary]]:
    found: dict[Key, list[SentCanary]] = {}
    for _, group in groupby(rows, key=lambda row: row["id"]):
        of_one = list(group)
        first = of_one[0]
        results = {
            row["hop"]: HopResult(row["ok"], row["reason"], row["seconds"], row["finished_at"])
            for row in of_one
            if row["hop"] is not None
        }
        canary = SentCanary(first["id"], first["site"], first["route"], first["sent_at"], results)
        found.setdefault((canary.site, canary.route), []).append(canary)
    return found


class CanaryGauges:
    """Sets the gauges. Without the database, the hop that fails is the database itself."""

    def __init__(self) -> None:
        self._is_on = False
        self._reachable_since = time.monotonic()
        self._unreachable_since: float | None = None

    async def update(self, pool: Pool) -> None:
        """Set the gauges from the newest canaries."""
        if self._unreachable_since is not None:
            self._unreachable_since, self._reachable_since = None, time.monotonic()
        try:
            status = await read_canaries(pool)
        except DependencyUnavailable:
            return  # the next poll says whether the database is unavailable
        self._is_on = status.is_on
        metrics.CANARY_FAILURES.clear()
        metrics.CANARY_SECONDS.clear()
        for route in status.routes:
            for hop in route.hops:
                labels = {"site": route.site, "route": route.route, "hop": hop.hop}
                metrics.CANARY_FAILURES.labels(**labels).set(hop.failures)
                if hop.seconds is not None and hop.state == "ok":
                    metrics.CANARY_SECONDS.labels(**labels).set(hop.seconds)
        overdue = status.is_overdue and time.monotonic() - self._reachable_since > OVERDUE_GRACE_SECONDS
        if status.is_on:
            metrics.CANARY_FAILURES.labels(site="", route="", hop="flusher").set(
                FAILING_AFTER if overdue else 0
            )

    def database_unavailable(self) -> None:
        """Say that the database fails, once that has lasted. Without it nobody knows about other hops."""
        now = time.monotonic()
        self._unreachable_since = self._unreachable_since or now
        if self._is_on and now - self._unreachable_since > DATABASE_SECONDS:
            metrics.CANARY_FAILURES.clear()
            metrics.CANARY_SECONDS.clear()
            metrics.CANARY_FAILURES.labels(site="", route="", hop="postgresql").set(FAILING_AFTER)
