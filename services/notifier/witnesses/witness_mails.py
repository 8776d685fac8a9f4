"""Emails the newest checkpoint of the sealed audit log to the witnesses, daily.

The flusher seals whether or not an email can be sent: this reads what it has stored.
"""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from apscheduler.triggers.cron import CronTrigger

from contracts.reasons import Reason
from runtime import metrics
from runtime.database.postgres import Pool, autocommit, load_queries
from runtime.logs import logger
from services.notifier.digests.polling import send_repeatedly
from services.notifier.smtp.mailer import Mailer, nothing_to_commit
from services.notifier.smtp.outcome import WITHOUT_OUTCOME, MailOutcome, MailStatus
from services.notifier.witnesses.checkpoint_mail import SignedCheckpoint, compose_checkpoint_mail

_SQL: Any = load_queries(Path(__file__).with_name("witness_mails.sql"))
JOB: Final = "audit_witness"
POLL_SECONDS: Final = 60.0
UNAVAILABLE_RETRY: Final = timedelta(minutes=5)
REFUSED_RETRY: Final = timedelta(hours=1)


def _utc_now() -> datetime:
    return datetime.now(UTC)


class WitnessMails:
    """Sends the checkpoints. One notifier at a time does; each witness gets an email of their own.

    `lease_seconds` must be longer than the mailer can take for all of them.
    """

    def __init__(
        self,
        pool: Pool,
        mailer: Mailer,
        witnesses: Sequence[str],
        schedule: str,
        from_email: str,
        sender_name: str,
        *,
        lease_seconds: float = 3600.0,
        clock: Callable[[], datetime] = _utc_now,
    ) -> None:
        self._pool = pool
        self._mailer = mailer
        self._witnesses = witnesses
        self._schedule = schedule
        self._trigger = CronTrigger.from_crontab(schedule, timezone=UTC)
        self._sender = (from_email, sender_name)
        self._lease_seconds = lease_seconds
        self._clock = clock
        self._log = logger(JOB)
        self._left = tuple(
            witnesses
        )  # those who have not got the checkpoint of this run, or of its repetition

    async def run(self) -> None:
        """Send what is due, every minute, until cancelled."""
        await send_repeatedly(self.send_due, POLL_SECONDS, self._log, "checkpoints wait for the database")

    async def send_due(self) -> bool:
        """Send the newest checkpoint if that is due, and return whether every witness has it now.

        A witness whose server refuses it, or who cannot be reached, gets it with a repetition. Raises
        `DependencyUnavailable` if the database does not answer or the service stops.
        """
        async with autocommit(self._pool) as connection:
            run = await _SQL.claim_run(connection, schedule=self._schedule, lease_seconds=self._lease_seconds)
            if run is None:
                return False
            checkpoint = SignedCheckpoint(**await _SQL.read_checkpoint(connection))
        failed, left = None, list[str]()
        for witness in self._left:
            if failed is None or failed.status not in WITHOUT_OUTCOME:
                outcome = await self._send(checkpoint, witness)
                if outcome.status is MailStatus.SENT:
                    continue
                failed = outcome
            left.append(witness)
        metrics.AUDIT_WITNESSES_MISSING.set(len(left))
        self._left = tuple(left) or tuple(self._witnesses)
        await self._end(run, checkpoint, failed, len(left))
        return failed is None

    async def _send(self, checkpoint: SignedCheckpoint, witness: str) -> MailOutcome:
        try:
            mail = compose_checkpoint_mail(checkpoint, witness, *self._sender, self._clock())
        except Exception as error:  # noqa: BLE001 - a bug must not keep it from the other witnesses
            metrics.BUGS.inc()
            self._log.exception("checkpoint mail not composed")
            return MailOutcome(MailStatus.WAITING, Reason.BUG.format(exception=type(error).__name__))
        return await self._mailer.send(mail, nothing_to_commit)

    async def _end(
        self, run: int, checkpoint: SignedCheckpoint, failed: MailOutcome | None, left: int
    ) -> None:
        now = self._clock()
        details: dict[str, Any] = {"entries": checkpoint.size, "witnesses": len(self._witnesses) - left}
        next_run_at = self._trigger.get_next_fire_time(None, now) or now + timedelta(days=1)
        if failed is not None:
            retry = UNAVAILABLE_RETRY if failed.status in WITHOUT_OUTCOME else REFUSED_RETRY
            next_run_at = min(next_run_at, now + retry)
            details["reason"] = f"{left} witnesses did not get the checkpoint: {failed.pause_reason}"
        outcome = "failed" if failed else "succeeded"
        async with autocommit(self._pool) as connection:
            await _SQL.end_run(
                connection, runs=run, outcome=outcome, details=details, next_run_at=next_run_at
            )
        self._log.info("Job run", job=JOB, run=run, outcome=outcome, **details)
