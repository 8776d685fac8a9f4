"""Performs the bulk changes: one chunk of leads in each transaction.

Every admin process runs this module. A row lock ensures that only one process at a time works on a bulk
change. The changes, audit entries, results and progress of a chunk are committed in one transaction. So if a
process dies, another process continues after the last committed chunk, and no lead is changed twice.

A chunk that fails is tried up to three times, while other bulk changes go on. At the last attempt each lead
is changed by itself, and those that fail have the result `failed`. The chunks after it have one attempt.

If the database refuses each lead of a chunk, and not for its data, the database is at fault: a right or a
function is missing. Then no lead fails. The chunk is tried again after longer and longer waits, until it
succeeds or an admin cancels the bulk change.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any, Final, NamedTuple, get_args
from uuid import UUID

from contracts.audit import AuditEvent
from contracts.leads import LeadStatus
from contracts.reasons import Reason
from runtime import metrics
from runtime.database import erasure
from runtime.database.audit_log import append_entries
from runtime.database.postgres import Connection, Pool, autocommit, transaction, translate_error
from runtime.failures import DependencyRefused, DependencyUnavailable, Failure
from runtime.logs import logger
from runtime.sites.model import Sites
from runtime.tasks import seconds_to_next
from runtime.workarounds.asyncpg import DRIVER_ERRORS, terminate_after_timeout
from services.admin.rules.bulk_rules import is_unchanged, refusal
from services.admin.schemas.bulk_changes import BulkAction
from services.admin.store.bulk import bulk_deliveries
from services.admin.store.bulk.bulk_changes import SQL
from services.admin.store.leads.status_changes import audit_entry, change_statuses
from services.admin.texts import gettext_noop

POLL_SECONDS: Final = 1.0
# How often to look for what another process has started and left, while no bulk change runs.
IDLE_POLL_SECONDS: Final = 5.0
# The largest leads take 70 MiB of memory then.
CHUNK: Final = 100
# An erasure holds a lock that the notifier and the flusher wait for.
ERASE_CHUNK: Final = 10
ERROR_SECONDS: Final = 10.0
# How long a chunk waits for a lead that somebody has locked. Meanwhile this process works on no other bulk
# change, and nobody can cancel this one. An edit or an erasure takes some milliseconds.
LOCK_TIMEOUT: Final = "2s"
# How often a chunk that fails is tried, `ERROR_SECONDS` apart, before its leads are changed one by one.
ATTEMPTS: Final = 3
# The longest wait for a database that refuses all leads of a chunk.
REFUSED_SECONDS: Final = 600.0

Results = dict[UUID, tuple[str, str | None]]
"""The result of each lead, and the reason if it is refused or has failed."""
NOT_STORED: Final = ("refused", gettext_noop("The lead is not stored."))


class _Failed(NamedTuple):
    """Why leads could not be changed. `is_refused` is True if the database may be at fault, not the leads."""

    reason: str
    is_refused: bool


async def run_bulk_changes(
    pool: Pool, current_sites: Callable[[], Sites], started_here: asyncio.Event
) -> None:
    """Perform all bulk changes until cancelled. Pauses after each chunk for as long as the chunk took.

    `current_sites` returns the current version of the sites file. `started_here` is set when this process
    has started a bulk change.
    """
    log = logger("bulk changes")
    while True:
        started = time.monotonic()
        try:
            started_here.clear()
            is_idle = not await _has_running(pool)
            found = not is_idle and await work_chunk(pool, current_sites())
        except Failure as failure:
            log.warning("bulk change waits", reason=failure.reason)
            await asyncio.sleep(ERROR_SECONDS)
            continue
        except Exception:
            metrics.BUGS.inc()
            log.exception("bulk change failed")
            await asyncio.sleep(ERROR_SECONDS)
            continue
        if is_idle:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(started_here.wait(), seconds_to_next(IDLE_POLL_SECONDS))
            continue
        # Use at most half of the database's time, because new leads come first.
        await asyncio.sleep(time.monotonic() - started if found else seconds_to_next(POLL_SECONDS))


async def _has_running(pool: Pool) -> bool:
    async with autocommit(pool) as connection:
        running: bool = await SQL.has_running(connection)
        return running


async def work_chunk(pool: Pool, sites: Sites) -> bool:
    """Change the next leads of a bulk change that can continue, the oldest first.

    A bulk change with a rate can continue once a second. Returns False if no lead was changed: no bulk change
    can continue, or these leads must wait. A wait for the database, or for a lead that somebody has locked,
    does not count as an attempt. Raises `DependencyUnavailable` if the database is unavailable.
    """
    bulk = None
    try:
        async with transaction(pool) as connection:
            bulk = await SQL.take_running(connection, chunk=CHUNK, actions=list(get_args(BulkAction)))
            if bulk is None:
                return False
            await SQL.prepare(connection, lock_timeout=LOCK_TIMEOUT)
            results = await _work(connection, bulk, sites)
    except DependencyUnavailable as failure:
        if bulk is None:
            raise
        # The reason may be this chunk, for example a lead that somebody has locked: others come first.
        async with transaction(pool) as connection:
            await _try_later(connection, bulk, bulk["failures"], failure.reason)
        log = logger("bulk changes")
        log.warning("bulk change waits", bulk_id=str(bulk["id"]), reason=failure.reason)
        return False
    if results is None:
        return False
    if bulk["action"] == "erase":
        # After the restore of an older backup, only the logs have the ids that must be erased again.
        for lead_id in [each for each, (result, _) in results.items() if result != "failed"]:
            logger("bulk changes").info("Lead erased", lead_id=str(lead_id))
    return True


async def _work(connection: Connection, bulk: Any, sites: Sites) -> Results | None:
    """Change the next leads of a bulk change, and return their results.

    Returns None if that failed and will be tried again later.
    """
    limit = ERASE_CHUNK if bulk["action"] == "erase" else bulk["allowed"]
    rows = SQL.next_items(connection, bulk_id=bulk["id"], next_position=bulk["next_position"], limit=limit)
    items = [row async for row in rows]
    ids = [item["lead_id"] for item in items]
    failures = 0
    results = await _attempt(connection, bulk, ids, sites)
    if isinstance(results, _Failed):
        failures, reason = bulk["failures"] + 1, results.reason
        if failures < ATTEMPTS:
            await _try_later(connection, bulk, failures, reason)
            return None
        single = {
            lead_id: await _attempt(connection, bulk, [lead_id], sites, is_logged=False) for lead_id in ids
        }
        if all(isinstance(each, _Failed) and each.is_refused for each in single.values()):
            await _try_later(connection, bulk, failures, reason)
            return None
        results = {}
        for lead_id, each in single.items():
            results |= {lead_id: ("failed", each.reason)} if isinstance(each, _Failed) else each
        # The next chunk has one attempt: all leads of the change may fail.
        failures = ATTEMPTS - 1
    await SQL.save_results(
        connection,
        bulk_id=bulk["id"],
        positions=[item["position"] for item in items],
        results=[results[item["lead_id"]][0] for item in items],
        reasons=[results[item["lead_id"]][1] for item in items],
    )
    next_position = bulk["next_position"] + len(items)
    await SQL.advance(connection, bulk_id=bulk["id"], next_position=next_position, failures=failures)
    return results


async def _attempt(
    connection: Connection, bulk: Any, ids: Sequence[UUID], sites: Sites, *, is_logged: bool = True
) -> Results | _Failed:
    """Change these leads, and return their results. If that fails, changes none of them.

    Without `is_logged`, the failure is neither logged nor counted: that of its chunk was. Raises
    `DependencyUnavailable` or an error of the driver if the database is unavailable.
    """
    log = logger("bulk changes").bind(bulk_id=str(bulk["id"]), leads=len(ids))
    try:
        async with connection.transaction(), terminate_after_timeout(connection):  # a savepoint
            return await _perform(connection, bulk, ids, sites)
    except Exception as error:
        failure = translate_error(error) if isinstance(error, DRIVER_ERRORS) else error
        if isinstance(failure, DependencyUnavailable) and not isinstance(failure, DependencyRefused):
            raise
        if isinstance(failure, Failure):
            if is_logged:
                log.warning("bulk change failed", reason=failure.reason)
            return _Failed(failure.reason, isinstance(failure, DependencyRefused))
        if is_logged:
            metrics.BUGS.inc()
            log.exception("bulk change failed")
        return _Failed(Reason.BUG.format(exception=type(error).__name__), is_refused=False)


async def _try_later(connection: Connection, bulk: Any, failures: int, reason: str) -> None:
    """Let the next leads wait for 10 s, and from the third attempt on twice as long after each."""
    seconds = ERROR_SECONDS * 2.0 ** min(max(failures - ATTEMPTS + 1, 0), 10)
    wait = timedelta(seconds=min(seconds, REFUSED_SECONDS))
    await SQL.try_later(connection, bulk_id=bulk["id"], failures=failures, wait=wait, reason=reason)


async def _perform(connection: Connection, bulk: Any, ids: Sequence[UUID], sites: Sites) -> Results:
    """Perform the action on these leads, and return the result of each."""
    match bulk["action"]:
        case "erase":
            return await _erase(connection, bulk, ids)
        case "retry":
            return await bulk_deliveries.retry(connection, bulk, ids, sites)
        case "send":
            # Before the leads are locked: an erasure locks in this order.
            await erasure.block_erasures(connection)
            leads = [lead async for lead in SQL.lock_leads(connection, ids=list(ids))]
            sent = await bulk_deliveries.send(connection, bulk, leads, sites)
            return dict.fromkeys(ids, NOT_STORED) | sent
        case _:
            return await _change(connection, bulk, ids)


async def _erase(connection: Connection, bulk: Any, ids: Sequence[Any]) -> Results:
    """Erase these leads. Their rows must not be locked yet: an erasure first takes the erasure lock."""
    results: Results = {}
    for lead_id in ids:
        done = await erasure.erase_lead(connection, lead_id, bulk["actor"])
        if done is None:
            results[lead_id] = NOT_STORED
        else:
            results[lead_id] = ("unchanged" if done["already"] else "changed", None)
    return results


async def _change(connection: Connection, bulk: Any, ids: Sequence[Any]) -> Results:
    """Set the status or the assignee of these leads."""
    action, value = bulk["action"], bulk["value"]
    results: Results = dict.fromkeys(ids, NOT_STORED)
    changing = []
    async for lead in SQL.lock_leads(connection, ids=list(ids)):
        status = LeadStatus(lead["status"])
        if is_unchanged(action, value, status, lead["assignee"]):
            results[lead["id"]] = ("unchanged", None)
        elif why := refusal(action, value, status):
            results[lead["id"]] = ("refused", why)
        else:
            results[lead["id"]] = ("changed", None)
            changing.append(lead)
    if not changing:
        return results
    details = {"bulk_id": str(bulk["id"])}
    if action == "status":
        await change_statuses(connection, changing, LeadStatus(value), bulk["actor"], details)
    else:
        await SQL.set_assignee(connection, ids=[lead["id"] for lead in changing], assignee=value)
        entries = [
            audit_entry(AuditEvent.LEAD_EDITED, bulk["actor"], lead, {"fields": ["assignee"]} | details)
            for lead in changing
        ]
        await append_entries(connection, entries, database_time=True)
    return results
