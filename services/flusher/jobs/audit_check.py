"""The job that compares the whole audit log with its seal, once a day."""

from collections.abc import Sequence
from typing import Final

from runtime import metrics
from runtime.database.postgres import Pool, snapshot
from runtime.database.sealed_log_check import ArchiveUnfinishedError, SealedLogCheck
from runtime.logs import logger
from runtime.transparency_log.signed_note import VerificationKey
from services.flusher.jobs.job_runs import JobRuns
from services.flusher.jobs.scheduled_job import Report, ScheduledJob
from services.flusher.store import Clock

JOB: Final = "audit_check"
CRON: Final = "30 3 * * *"


def audit_check_job(pool: Pool, runs: JobRuns, clock: Clock, keys: Sequence[VerificationKey]) -> ScheduledJob:
    """Return the job that checks the sealed audit log.

    The report of a run contains the number of entries and of checkpoints that were checked, how many of these
    entries are in an archive and so were not compared, and the number of differences. A run that finds one
    has failed, and is not repeated before the next day or a request.
    """

    async def check() -> Report:
        async with snapshot(pool) as connection:
            try:
                findings = await SealedLogCheck(connection, keys).run()
            except ArchiveUnfinishedError as error:
                return Report({}, str(error))
        metrics.AUDIT_DIFFERENCES.set(findings.count)
        for difference in findings.differences:
            logger(JOB).error("audit log differs from its seal", difference=difference)
        details = {"entries": findings.entries, "checkpoints": findings.checkpoints}
        details |= {"archived": findings.archived, "differences": findings.count}
        reason = f"the audit log differs from its seal: {findings.differences[0]}" if findings.count else None
        return Report(details, reason, retry=False)

    return ScheduledJob(JOB, CRON, runs, clock, check)
