"""The job that reports team notifications which nobody received, as events for destinations.

Failures of one site at about the same time are one event, so that a burst does not flood a chat. Each lead is
in one event at most. The transaction that marks the leads writes the event to the outbox.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

from contracts.lead_events import ALERT_LEADS_MAX
from runtime.database.postgres import Pool, load_queries, transaction
from services.flusher.jobs.job_runs import JobRuns
from services.flusher.jobs.scheduled_job import Report, ScheduledJob
from services.flusher.store import Clock

JOB: Final = "alert_escalation"
CRON: Final = "* * * * *"
# A burst takes some seconds: its first failures wait for the others.
SETTLE: Final = timedelta(seconds=30)
# Further failures of the same site are reported together, after this time.
PAUSE: Final = timedelta(minutes=15)
# A notification that has not been sent for this time is late, if no other one of its site was sent.
LATE: Final = timedelta(minutes=15)
# The maximum of notifications of all sites in one run. The others follow in the next runs.
MAX_ALERTS: Final = 5000
SQL: Any = load_queries(Path(__file__).with_name("alert_escalation.sql"))


def alert_escalation_job(pool: Pool, runs: JobRuns, clock: Clock) -> ScheduledJob:
    """Return the job that reports failed team notifications.

    The report of a run contains the number of events and of leads.
    """

    async def report() -> Report:
        groups = await escalate(pool, clock())
        return Report({"events": len(groups), "leads": sum(groups)})

    return ScheduledJob(JOB, CRON, runs, clock, report)


async def escalate(pool: Pool, now: datetime) -> list[int]:
    """Report the failed notifications of all sites. Return the number of leads in each event.

    Raises `DependencyUnavailable`. All events and marks are in one transaction.
    """
    async with transaction(pool) as connection:
        found = SQL.list_failed_alerts(connection, late=LATE, pause=PAUSE, limit=MAX_ALERTS)
        groups = group_by_site([row async for row in found], now)
        for site, group in groups.items():
            await SQL.insert_escalation(
                connection,
                id=uuid4(),
                site=site,
                lead_ids=[row["lead_id"] for row in group],
                reason=_most_frequent_reason(group),
                since=group[0]["failed_at"],
            )
    return [len(group) for group in groups.values()]


def group_by_site(rows: Sequence[Any], now: datetime) -> dict[str, list[Any]]:
    """Return the failed notifications to report now, by site. `rows` has the oldest failure first.

    A site whose oldest failure is newer than `SETTLE` is left out. An event has `ALERT_LEADS_MAX` leads at
    most.
    """
    by_site = defaultdict[str, list[Any]](list)
    for row in rows:
        by_site[row["site"]].append(row)
    return {
        site: group[:ALERT_LEADS_MAX]
        for site, group in by_site.items()
        if group[0]["failed_at"] <= now - SETTLE
    }


def _most_frequent_reason(group: Sequence[Any]) -> str | None:
    reasons = Counter(row["reason"] for row in group if row["reason"])
    return reasons.most_common(1)[0][0] if reasons else None
