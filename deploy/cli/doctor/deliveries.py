"""Checks what is sent to other systems: the outbox of changes, the destinations and their deliveries."""

from collections.abc import AsyncIterator, Collection
from pathlib import Path
from typing import Any, Final

from deploy.cli.doctor.check_result import CheckResult, ok, warn
from runtime.database.postgres import Connection, load_queries

SQL: Any = load_queries(Path(__file__).with_name("database.sql"))
MAX_UNPUBLISHED_SECONDS: Final = 120.0  # as the alert OutboxNotPublished


async def check_outbox(connection: Connection) -> CheckResult:
    """Check that the flusher publishes changes of leads: no change waits for more than two minutes."""
    row = await SQL.outbox(connection)
    if row["oldest_seconds"] > MAX_UNPUBLISHED_SECONDS:
        seen = f"changes of leads that wait: {row['rows']}, the oldest for {_duration(row['oldest_seconds'])}"
        return warn("outbox", seen, "docs/runbooks/OutboxNotPublished.md")
    return ok("outbox", f"changes of leads that wait: {row['rows']}")


async def check_destinations(
    connection: Connection, configured: Collection[str] | None
) -> AsyncIterator[CheckResult]:
    """Warn of each destination that is disabled or paused, or that has dead deliveries.

    `configured` are the destinations of the sites file. Other destinations are left out, because they were
    removed from the file. If `configured` is None, all destinations are checked.
    """
    healthy = 0
    async for row in SQL.destinations(connection):
        name = row["name"]
        if configured is not None and name not in configured:
            continue
        since = f"for {_duration(row['since_seconds'] or 0)}, deliveries that wait: {row['waiting']}"
        if row["is_disabled"]:
            seen = f"{name} is disabled {since}, because {row['disabled_reason']}"
            yield warn("destinations", seen, f"POST /admin/destinations/{name}/enable when it works again")
        elif row["is_paused"]:
            seen = f"{name} is paused {since}, because {row['last_reason']}"
            yield warn("destinations", seen, "docs/runbooks/DestinationFailing.md")
        if row["dead"]:
            seen = f"{name} has dead deliveries: {row['dead']}"
            yield warn("destinations", seen, "docs/runbooks/DestinationDeliveriesDead.md")
        healthy += not (row["is_disabled"] or row["is_paused"] or row["dead"])
    yield ok("destinations", f"{healthy} without a fault")


def _duration(seconds: float) -> str:
    return f"{seconds / 60:.0f} minutes" if seconds < 7200 else f"{seconds / 3600:.0f} hours"
