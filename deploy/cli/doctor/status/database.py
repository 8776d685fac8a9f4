"""Reads from PostgreSQL what fails: paused stages, failed records, jobs, destinations, emails, canaries."""

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from typing import Any, Final

from deploy.cli.doctor.check_result import CheckResult, fail, ok, warn
from deploy.cli.doctor.deliveries import check_destinations, check_outbox
from deploy.cli.doctor.status.texts import duration, moment, queue_reason, since, without_addresses
from runtime.database.postgres import Pool, open_pool, ping, snapshot
from runtime.failures import DependencyUnavailable, Failure
from runtime.settings import Postgres
from runtime.sites.model import Sites
from services.admin.monitoring.audit_partitions import count_missing_partitions
from services.admin.monitoring.canaries import read_canaries
from services.admin.monitoring.mail_outcomes import count_mail_outcomes
from services.admin.monitoring.queue_counts import count_queue
from services.admin.monitoring.scheduled_jobs import list_jobs, list_site_queues
from services.admin.monitoring.spam_shares import read_risen_spam
from services.admin.rules.mail_rates import quote_failures
from services.admin.schemas.canary import CanaryHop
from services.admin.schemas.incidents import IncidentFilter
from services.admin.schemas.replay_filters import GroupFilter
from services.admin.store.deliveries.queue import ReplayQueue
from services.admin.store.incidents import Incidents

# The first connection of a busy machine takes longer than the second that a service's check has.
TRIES: Final = 3
READ_SECONDS: Final = 10.0
MAX_GROUPS: Final = 10
MAX_INCIDENTS: Final = 20
RUNBOOKS: Final = "docs/runbooks/"
_REFUSED: Final = (
    "docs/managed-services.md says what to correct; if the services use the same URL, Kafka keeps the leads"
)


async def read_database(postgres: Postgres, sites: Sites | None) -> list[CheckResult]:
    """Return whether the database answers, and what its tables say about failures.

    `sites` is None if no valid sites file is known.
    """
    async with open_pool(postgres, "doctor") as pool:
        try:
            await _ping(pool)
        except DependencyUnavailable as error:
            seen = f"{error.reason}; not read: {', '.join(_READS)}, destinations"
            is_refused = error.reason.startswith("database answered")
            todo = _REFUSED if is_refused else "start or restore it; until then Kafka keeps the leads"
            return [fail("database", seen, todo)]
        parts = await asyncio.gather(*(_read(name, read(pool)) for name, read in _READS.items()))
        to_others = await _read("destinations", _check_deliveries(pool, sites))
    return [ok("database", "answers"), *(result for part in (*parts, to_others) for result in part)]


async def _ping(pool: Pool) -> None:
    for _ in range(TRIES - 1):
        with contextlib.suppress(DependencyUnavailable):
            await ping(pool)
            return
    await ping(pool)


async def _read(name: str, read: Coroutine[Any, Any, list[CheckResult]]) -> list[CheckResult]:
    try:
        async with asyncio.timeout(READ_SECONDS):
            return await read
    except TimeoutError:
        return [warn(name, f"not read within {READ_SECONDS:.0f} s", "run it again")]
    except Failure as error:
        return [warn(name, f"not read: {error.reason}", "python -m deploy.cli.doctor checks the database")]


async def _check_stages(pool: Pool) -> list[CheckResult]:
    """Return the paused stages, and whether the ledger balances."""
    counts = await count_queue(pool)
    results = [
        fail("stages", f"{stage.stage} is paused: {stage.pause_reason}",
             f"{RUNBOOKS}BreakerOpen.md")
        for stage in counts.stages
        if stage.paused
    ]  # fmt: skip
    results = results or [ok("stages", "none is paused")]
    for each in counts.books.identities:
        if not each.balanced:
            seen = f"{each.stage} {each.name} {each.difference:+}: {each.books_are} {each.books},"
            results.append(fail("ledger", f"{seen} {each.rows_are} {each.rows}", f"{RUNBOOKS}LedgerDrift.md"))
    for total in counts.books.stages:
        if total.missing:
            seen = f"{total.stage}: Kafka deleted {total.missing} records before they were read"
            results.append(warn("ledger", seen, f"{RUNBOOKS}LedgerDrift.md"))
    if not any(each.check == "ledger" for each in results):
        results.append(ok("ledger", "balanced"))
    oldest = max((stage.oldest_open_age_seconds or 0 for stage in counts.stages), default=0)
    open_rows = sum(stage.waiting + stage.replaying for stage in counts.stages)
    results.append(ok("queue", f"{open_rows} records wait for a retry, the oldest for {duration(oldest)}"))
    return results


async def _list_failed(pool: Pool) -> list[CheckResult]:
    """Return the largest groups of failed records."""
    found = await ReplayQueue(pool).list_groups(GroupFilter())
    results = []
    for each in found.groups[:MAX_GROUPS]:
        what = f"{each.stage} {each.kind}, {each.state}: {each.rows} x {queue_reason(each.reason)}"
        todo = f"{RUNBOOKS}DeadLetters.md" if each.state == "dead" else f"{RUNBOOKS}OldestLeadWaiting.md"
        results.append(warn("queue", f"{what}, the newest {moment(each.newest_at)}", todo))
    if more := found.groups[MAX_GROUPS:]:
        seen = f"{sum(each.rows for each in more)} more in {len(more)} groups"
        results.append(warn("queue", seen, "GET /admin/queue/groups lists all"))
    return results


async def _check_jobs(pool: Pool) -> list[CheckResult]:
    jobs = await list_jobs(pool)
    results = []
    for job in jobs:
        if job.last_outcome == "failed":
            reason = without_addresses(str(job.last_details.get("reason") or "no reason"))
            seen = f"{job.name} failed: {reason}{since(job.last_finished_at)}"
            results.append(fail("jobs", seen, f"{RUNBOOKS}JobNotRun.md"))
        if job.overdue and job.next_run_at:
            seen = f"{job.name} is late: its next run was due {moment(job.next_run_at)}"
            results.append(fail("jobs", seen, f"start a flusher: {RUNBOOKS}JobNotRun.md"))
    if not jobs:
        return [warn("jobs", "no job has run yet", "start a flusher")]
    return results or [ok("jobs", f"all {len(jobs)} ran in time and succeeded")]


async def _check_deliveries(pool: Pool, sites: Sites | None) -> list[CheckResult]:
    async with snapshot(pool) as connection:
        outbox = await check_outbox(connection)
        found = check_destinations(connection, None if sites is None else sites.destinations)
        return [outbox, *[each async for each in found]]


async def _check_emails(pool: Pool) -> list[CheckResult]:
    results = []
    for each in (await count_mail_outcomes(pool)).failing.counts:
        reply = without_addresses(quote_failures(each.failures))
        where = f"{each.site or 'no site'} {each.kind}"
        seen = f"{where}: {each.failed} of {each.total} of the last hour failed: {reply}"
        severity = fail if each.severity == "bad" else warn
        results.append(severity("emails", seen, f"{RUNBOOKS}MailFailures.md"))
    return results or [ok("emails", "those of the last hour arrive")]


async def _check_canaries(pool: Pool) -> list[CheckResult]:
    status = await read_canaries(pool)
    if not status.is_on:
        return [ok("canary", "off")]
    todo = f"{RUNBOOKS}CanaryFailing.md"
    late = [fail("canary", f"flusher: none was sent{since(status.last_run_at)}", todo)]
    failing = [
        fail("canary", f"{route.site} {route.route}: {_describe_hop(hop)}", todo)
        for route in status.routes
        for hop in route.failing
    ]
    results = late * status.is_overdue + failing
    return results or [ok("canary", f"{len(status.routes)} ways into sites work")]


def _describe_hop(hop: CanaryHop) -> str:
    worked = moment(hop.last_worked_at) if hop.last_worked_at else "over a day ago"
    reason = without_addresses(hop.reason)
    return f"{hop.hop}: {reason}; canaries in a row that failed: {hop.failures}; last worked: {worked}"


async def _check_incidents(pool: Pool) -> list[CheckResult]:
    found = await Incidents(pool).list_incidents(IncidentFilter(state="open", limit=MAX_INCIDENTS))
    return [
        warn("incidents", f"{each.component}: {without_addresses(each.reason)}{since(each.first_seen_at)},"
             f" {'acknowledged' if each.acknowledged_at else 'not acknowledged'}",
             f"{RUNBOOKS}IncidentNotAcknowledged.md")
        for each in found.incidents
    ] or [ok("incidents", "none is open")]  # fmt: skip


async def _check_site_queues(pool: Pool) -> list[CheckResult]:
    return [
        warn("site-queues", f"{each.site}: {without_addresses(each.reason)}{since(each.asked_at)}",
             "docs/troubleshooting.md")
        for each in await list_site_queues(pool)
        if each.reason
    ]  # fmt: skip


async def _check_spam(pool: Pool) -> list[CheckResult]:
    return [
        warn("spam", f"{each.site}: {each.spam} of {each.leads} leads in 24 hours, mostly {each.reason}",
             f"{RUNBOOKS}SpamRising.md")
        for each in await read_risen_spam(pool)
    ]  # fmt: skip


async def _check_audit_log(pool: Pool) -> list[CheckResult]:
    if missing := await count_missing_partitions(pool):
        todo = f"{RUNBOOKS}AuditPartitionsMissing.md"
        return [warn("audit-log", f"{missing} of the next 2 partitions are missing", todo)]
    return []


_READS: Final[dict[str, Callable[[Pool], Coroutine[Any, Any, list[CheckResult]]]]] = {
    "stages and ledger": _check_stages,
    "queue": _list_failed,
    "jobs": _check_jobs,
    "emails": _check_emails,
    "canary": _check_canaries,
    "incidents": _check_incidents,
    "site-queues": _check_site_queues,
    "spam": _check_spam,
    "audit-log": _check_audit_log,
}
