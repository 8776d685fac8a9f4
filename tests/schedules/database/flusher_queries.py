"""The queries of the flusher's jobs and of its outbox. Jobs that find nothing in a schedule do nothing."""

from pathlib import Path
from typing import Any, Final

import services.flusher as product
from runtime.database import audit_log
from tests.schedules.database import persister_queries as shared
from tests.schedules.database.lead_event_queries import OUTBOX
from tests.schedules.database.pool import Query, Statements
from tests.schedules.database.replay_queue_queries import QUERIES as REPLAY_QUEUE
from tests.schedules.database.server import Row, Transaction

JOBS: Final = "scheduled_job"
_FLUSHER: Final = Path(product.__file__).parent
_RUNTIME: Final = Path(audit_log.__file__).parent


# --- jobs ----------------------------------------------------------------------------------------------


async def _try_job_lock(transaction: Transaction, p: Any) -> list[Row]:
    key = (f"fastcore.job.{p.name}",)
    if transaction.is_locked("advisory", key):
        return [{"locked": False}]
    await transaction.lock("advisory", key)
    return [{"locked": True}]


async def _begin_run(transaction: Transaction, p: Any) -> list[Row]:
    await transaction.lock(JOBS, (p.name,))
    job = transaction.get(JOBS, (p.name,)) or {"runs": 0}
    has_succeeded = job.get("last_outcome") == "succeeded" and job.get("next_run_at") == p.next_run_at
    if job["runs"] and has_succeeded and not job["requested_at"]:
        return []
    runs = job["runs"] + 1
    begun = {"runs": runs, "last_outcome": "running", "next_run_at": p.next_run_at, "requested_at": None}
    transaction.put(JOBS, (p.name,), job | begun | {"name": p.name})
    return [{"runs": runs}]


async def _end_run(transaction: Transaction, p: Any) -> list[Row]:
    await transaction.lock(JOBS, (p.name,))
    job = transaction.get(JOBS, (p.name,))
    if job and job["runs"] == p.runs:
        transaction.put(JOBS, (p.name,), job | {"last_outcome": p.outcome, "last_details": p.details})
    return []


async def _stop_job(transaction: Transaction, p: Any) -> list[Row]:
    await transaction.lock(JOBS, (p.name,))
    if job := transaction.get(JOBS, (p.name,)):
        transaction.put(JOBS, (p.name,), job | {"next_run_at": None})
    return []


async def _read_pending_work(transaction: Transaction, _: Any) -> list[Row]:
    def is_requested(row: Row) -> bool:
        return bool(row["state"] == "waiting" and row["requested_at"])

    return [
        {
            "jobs": [],
            "rows": bool(transaction.find(shared.QUEUE, is_requested)),
            "replays": False,
            "events": bool(transaction.find(OUTBOX, lambda _: True)),
        }
    ]


async def _nothing(_: Transaction, __: Any) -> list[Row]:
    return []


async def _zero(_: Transaction, __: Any) -> list[Row]:
    return [{"count": 0}]


async def _block_erasures(transaction: Transaction, _: Any) -> list[Row]:
    await transaction.lock("advisory", ("fastcore.erase",), shared=True)
    return []


# --- the outbox ----------------------------------------------------------------------------------------


async def _claim_events(transaction: Transaction, p: Any) -> list[Row]:
    waiting = sorted(transaction.find(OUTBOX, lambda _: True), key=lambda row: int(row["position"]))
    claimed = [row for row in waiting if not transaction.is_locked(OUTBOX, (row["position"],))][: p.limit]
    for row in claimed:
        await transaction.lock(OUTBOX, (row["position"],))
    positions = {row["position"] for row in claimed}
    return [
        row
        for row in claimed
        if not any(
            each["lead_id"] == row["lead_id"]
            and each["position"] < row["position"]
            and each["position"] not in positions
            for each in waiting
        )
    ]


async def _delete_events(transaction: Transaction, p: Any) -> list[Row]:
    for position in p.positions:
        await transaction.lock(OUTBOX, (position,))
        transaction.delete(OUTBOX, (position,))
    return []


_JOB_RUNS: Final[dict[str, Query]] = {
    "try_job_lock": _try_job_lock,
    "begin_run": _begin_run,
    "end_run": _end_run,
}
_RELAY: Final[dict[str, Query]] = {"claim_events": _claim_events, "delete_events": _delete_events}


def flusher_statements() -> Statements:
    """Return the queries of the flusher."""
    statements = Statements()
    shared.add_runtime(statements)
    jobs = _FLUSHER / "jobs"
    statements.add(_RUNTIME / "erasure.sql", {"block_erasures": _block_erasures})
    statements.add(_RUNTIME / "retry_schedules.sql", {"report_retry_schedule": _nothing})
    statements.add(_FLUSHER / "queries.sql", REPLAY_QUEUE)
    statements.add(jobs / "job_runs.sql", _JOB_RUNS)
    statements.add(jobs / "pending_work.sql", {"read_pending_work": _read_pending_work})
    statements.add(jobs / "outbox_relay.sql", _RELAY)
    statements.add(jobs / "lead_summary.sql", {"refresh_lead_summary": _zero})
    statements.add(jobs / "audit_partitions.sql", {"create_partitions": _zero})
    statements.add(jobs / "alert_escalation.sql", {"list_failed_alerts": _nothing})
    statements.add(
        jobs / "retention.sql", {"list_sites": _nothing, "refresh_statistics": _zero, "stop_job": _stop_job}
    )
    statements.add(_FLUSHER / "canary" / "canary_job.sql", {"stop_job": _stop_job})
    statements.add(_FLUSHER / "bounces" / "mail_events.sql", {"remove_expired": _zero})
    return statements
