"""Sends the team one email about the held leads of a site, at most once an hour.

A lead is held if it exceeded a rate limit and nothing else makes it look like spam. The email is called a
digest. It concerns several leads, so it has no row in `email_delivery`, and the ledger does not count it.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from contracts.reasons import Reason
from runtime import metrics
from runtime.database.postgres import Pool, autocommit, load_queries, transaction
from runtime.logs import logger
from services.notifier.digests.polling import send_repeatedly
from services.notifier.mail.held_digest import LISTED_MAX, HeldDigest, HeldLead, compose_held_digest
from services.notifier.mail.identities import Identities
from services.notifier.mail.message import UndeliverableError
from services.notifier.smtp.mailer import Mailer, nothing_to_commit
from services.notifier.smtp.outcome import WITHOUT_OUTCOME, MailOutcome, MailStatus

_SQL: Any = load_queries(Path(__file__).with_name("held_digests.sql"))
POLL_SECONDS: Final = 15.0
RETRY_SECONDS: Final = 600.0
UNAVAILABLE_SECONDS: Final = 60.0
KIND: Final = "held_digest"


@dataclass(frozen=True)
class DigestTimes:
    """When a digest is due, in seconds.

    After the first held lead of a site, a digest waits `collect` seconds for more leads. Between two digests
    of a site there are at least `interval` seconds.
    """

    collect: float = 300.0
    interval: float = 3600.0


@dataclass(frozen=True)
class _Claim:
    """A digest that this process has claimed, to send it now.

    `attempts` counts this attempt, too. `may_be_sent` is True if an earlier attempt may have delivered it.
    """

    digest: HeldDigest
    attempts: int
    may_be_sent: bool


class HeldDigests:
    """Collects the held leads in digests and sends the digests. Several processes share the work."""

    def __init__(
        self,
        pool: Pool,
        mailer: Mailer,
        identities: Identities,
        times: DigestTimes = DigestTimes(),
        *,
        lease_seconds: float = 900.0,
    ) -> None:
        """Set how long this process owns a digest that it is sending: `lease_seconds`.

        The lease must be longer than the mailer can take for one mail.
        """
        self._pool = pool
        self._mailer = mailer
        self._identities = identities
        self._times = times
        self._lease_seconds = lease_seconds
        self._log = logger("held digest")

    async def run(self) -> None:
        """Send the digests that are due, every 15 seconds, until cancelled."""
        await send_repeatedly(self.send_due, POLL_SECONDS, self._log, "held digests wait")

    async def send_due(self) -> int:
        """Try once to send each digest that is due, and return how many were sent.

        If the mail server cannot accept a digest now, the remaining digests wait too. Raises
        `DependencyUnavailable` if the database does not answer or the service stops.
        """
        async with autocommit(self._pool) as connection:
            if not await _SQL.has_work(connection):
                return 0
        sent, due_at = 0, await self._collect()
        while claim := await self._claim(due_at):
            digest = claim.digest
            outcome = await self._send(digest) if digest.total else None
            is_unsent = outcome is not None and outcome.status in WITHOUT_OUTCOME
            async with autocommit(self._pool) as connection:
                if outcome is None or outcome.status is MailStatus.SENT:
                    await _SQL.mark_sent(connection, digest_id=digest.digest_id)
                    sent += digest.total > 0
                else:
                    seconds = (
                        UNAVAILABLE_SECONDS if is_unsent else min(RETRY_SECONDS * claim.attempts, 3600.0)
                    )
                    may_be_sent = claim.may_be_sent or outcome.status is MailStatus.UNKNOWN
                    reason = None if may_be_sent else outcome.pause_reason
                    await _SQL.postpone(
                        connection, digest_id=digest.digest_id, reason=reason, seconds=seconds
                    )
            if outcome:
                self._report(digest, outcome)
            if is_unsent:
                break
        return sent

    async def _collect(self) -> datetime:
        """Add the held leads that are in no digest yet to the digests. Return the time of the database."""
        async with transaction(self._pool) as connection:
            now: datetime = await _SQL.now(connection)
            if not await _SQL.try_lock(connection):
                return now
            for site in [row["site"] async for row in _SQL.waiting_sites(connection)]:
                digest_id = await _SQL.open_digest(connection, site=site) or await _SQL.make_digest(
                    connection,
                    site=site,
                    interval_seconds=self._times.interval,
                    collect_seconds=self._times.collect,
                )
                if digest_id:
                    await _SQL.add_leads(connection, digest_id=digest_id, site=site)
        return now

    def _report(self, digest: HeldDigest, outcome: MailOutcome) -> None:
        if outcome.status not in WITHOUT_OUTCOME:
            metrics.MAILS.labels(kind=KIND, outcome=str(outcome.status)).inc()
        self._log.info(
            "held digest",
            site=digest.site,
            leads=digest.total,
            outcome=str(outcome.status),
            reason=outcome.pause_reason,
        )

    async def _claim(self, due_at: datetime) -> _Claim | None:
        """Return the next digest that is due, or None if no digest is due."""
        async with transaction(self._pool) as connection:
            row = await _SQL.claim(connection, due_at=due_at, lease_seconds=self._lease_seconds)
            if row is None:
                return None
            leads = [lead async for lead in _SQL.leads(connection, digest_id=row["id"], bound=LISTED_MAX)]
        listed = tuple(
            HeldLead(
                lead["id"],
                lead["created_at_utc"],
                lead["name"],
                lead["contact"],
                lead["message"],
                released=lead["released"],
            )
            for lead in leads
        )
        total = leads[0]["total"] if leads else 0
        digest = HeldDigest(row["id"], row["site"], listed, total)
        return _Claim(digest, row["attempts"], row["may_be_sent"])

    async def _send(self, digest: HeldDigest) -> MailOutcome:
        try:
            mail = compose_held_digest(digest, self._identities.of(digest.site), datetime.now(UTC))
        except UndeliverableError as error:
            return MailOutcome(MailStatus.DEAD, error.reason)
        except Exception as error:  # noqa: BLE001 - a bug in one digest must not stop the others
            metrics.BUGS.inc()
            self._log.exception("held digest not composed", digest_id=str(digest.digest_id))
            return MailOutcome(MailStatus.WAITING, Reason.BUG.format(exception=type(error).__name__))
        return await self._mailer.send(mail, nothing_to_commit)
