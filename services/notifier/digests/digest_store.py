"""Stores the alert digests in PostgreSQL: which alerts a digest lists, its lease and its outcome."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final
from uuid import UUID, uuid5

from contracts.audit import AuditEvent
from contracts.leads import LeadStatus
from contracts.reasons import Reason
from runtime.database.postgres import Connection, Pool, autocommit, load_queries, transaction
from runtime.failures import DependencyUnavailable
from runtime.sites.mail import recipients_by_rule
from services.notifier.delivery_values import AUDIT_EVENTS, storable
from services.notifier.digests.claimed_digest import ClaimedDigest, CollectedAlert, alert_of
from services.notifier.mail.alert_digest import LISTED_MAX
from services.notifier.mail.message import Identity
from services.notifier.smtp.outcome import MailOutcome, MailStatus

_SQL: Any = load_queries(Path(__file__).with_name("digest_store.sql"))
# The alerts of a site that become digests in one transaction; more follow in the next ones.
COLLECTED_MAX: Final = 3_000
_OPEN_STATES: Final = ("collected", "waiting", "unknown", "sending")
_UNLISTED: Final = (LeadStatus.SPAM, LeadStatus.HELD, LeadStatus.ERASED)


class ListChangedError(Exception):
    """A lead left the digest after it was composed. Compose it again."""


class DigestStore:
    """Reads and writes `alert_digest`, `collected_alert` and the alerts' rows in `email_delivery`.

    `owner` is the id under which this process claims digests. All methods raise `RetryableError` and
    `DependencyUnavailable`.
    """

    def __init__(
        self,
        pool: Pool,
        owner: UUID,
        identity_of: Callable[[str], Identity],
        *,
        collect_seconds: float,
        claim_seconds: float,
        sending_seconds: float,
    ) -> None:
        """Set the leases: `claim_seconds` until the body is sent, then `sending_seconds` until the outcome.

        A burst is collected for `collect_seconds`. `identity_of` returns the identity of a site.
        """
        self._pool = pool
        self._owner = owner
        self._identity_of = identity_of
        self._collect = timedelta(seconds=collect_seconds)
        self._claim_seconds = claim_seconds
        self._sending_seconds = sending_seconds

    async def has_work(self) -> bool:
        """Return True if an alert waits for a digest, or a digest for its outcome."""
        async with autocommit(self._pool) as connection:
            found: bool = await _SQL.has_work(connection)
            return found

    async def make_digests(self) -> datetime:
        """Make the digests of the sites whose alerts are due. Return the time of the database.

        If the site's schedule has changed since an alert was collected, the digest is due at the earlier of
        the old and the new time.
        """
        async with transaction(self._pool) as connection:
            now: datetime = await _SQL.now(connection)
            if not await _SQL.try_lock(connection):
                return now
            for row in [row async for row in _SQL.waiting_sites(connection)]:
                first = row["collected_at"]
                schedule = self._identity_of(row["site"]).alert_schedule
                if now >= min(row["due_at"], schedule.due_at(first) or first + self._collect):
                    await self._make(connection, row["site"])
        return now

    async def _make(self, connection: Connection, site: str) -> None:
        """Make the digests of a site: by recipients, in parts of `LISTED_MAX` leads."""
        identity = self._identity_of(site)
        groups = dict[str, list[Any]]()
        async for row in _SQL.next_alerts(connection, site=site, bound=COLLECTED_MAX):
            by_rule = recipients_by_rule(identity.alert_rules, row["service"], row["locale"])
            groups.setdefault(", ".join(by_rule or identity.admins), []).append(row)
        for recipient, rows in groups.items():
            parts = [rows[at : at + LISTED_MAX] for at in range(0, len(rows), LISTED_MAX)]
            for number, part in enumerate(parts, 1):
                # The same leads get the same Message-ID, also if they are collected again in another order
                # (after a restore). A list with other leads gets another one, or a mailbox could drop it.
                records = sorted(row["record_id"] for row in part)
                digest_id = uuid5(records[0], " ".join(map(str, records)))
                await _SQL.make_digest(
                    connection,
                    digest_id=digest_id,
                    site=site,
                    recipient=recipient,
                    part=number,
                    parts=len(parts),
                )
                lead_ids = [row["lead_id"] for row in part]
                await _SQL.list_alerts(connection, digest_id=digest_id, lead_ids=lead_ids)

    async def claim(self, due_at: datetime) -> ClaimedDigest | None:
        """Return the next digest that was due at this time, or None if there is none.

        The alerts of leads that were erased or marked as spam leave the digest, and are suppressed.
        """
        async with transaction(self._pool) as connection:
            row = await _SQL.claim(
                connection, owner=self._owner, due_at=due_at, lease_seconds=self._claim_seconds
            )
            if row is None:
                return None
            await _SQL.end_erased(connection, digest_id=row["id"], reason=Reason.PROCESS_DIED)
            alerts, interrupted = await self._lock_alerts(connection, row["id"])
            return ClaimedDigest(
                row["id"],
                row["site"],
                tuple(row["recipient"].split(", ")),
                row["part"],
                row["parts"],
                row["attempts"],
                tuple(sorted(alerts, key=lambda each: (each.listed.received_at, each.lead_id))),
                interrupted,
            )

    async def _lock_alerts(
        self, connection: Connection, digest_id: UUID
    ) -> tuple[list[CollectedAlert], bool]:
        alerts, left, interrupted = list[CollectedAlert](), list[UUID](), False
        unlisted = dict[str, list[CollectedAlert]]()
        async for row in _SQL.lock_alerts(connection, digest_id=digest_id):
            alert = alert_of(row)
            status = LeadStatus.ERASED if row["is_erased"] else row["status"]
            if row["state"] not in _OPEN_STATES:
                left.append(alert.lead_id)
            elif row["state"] == "sending":
                interrupted = True
                alerts.append(alert)
            elif status in _UNLISTED and row["state"] == "unknown":
                left.append(alert.lead_id)  # the digest may already have been sent with it
            elif status in _UNLISTED:
                unlisted.setdefault(status, []).append(alert)
            else:
                alerts.append(alert)
        for status, suppressed in unlisted.items():
            outcome = MailOutcome(MailStatus.SUPPRESSED, Reason(status))
            await _move(connection, digest_id, suppressed, outcome, attempt=0)
            left += [each.lead_id for each in suppressed]
        if left:
            await _SQL.leave(connection, lead_ids=left)
        return alerts, interrupted

    async def begin_sending(self, digest: ClaimedDigest, message_id: str) -> None:
        """Commit the state `sending` of all alerts of a digest.

        Raises `ListChangedError` if one of them must not be listed any more, and `DependencyUnavailable` if
        this process lost the lease.
        """
        lead_ids = [each.lead_id for each in digest.alerts]
        async with transaction(self._pool) as connection:
            await self._hold(connection, digest)
            async for _ in _SQL.lock_mails(connection, lead_ids=lead_ids):
                pass  # the query runs while its rows are read
            started = _SQL.start_mails(
                connection,
                owner=self._owner,
                lease_seconds=self._sending_seconds,
                message_id=message_id,
                recipient=", ".join(digest.recipients),
                digest_id=digest.digest_id,
                lead_ids=lead_ids,
            )
            if len([row async for row in started]) < len(lead_ids):
                raise ListChangedError

    async def end(self, digest: ClaimedDigest, outcome: MailOutcome) -> None:
        """Write the last outcome of a digest. Its alerts get it, each with its audit entry."""
        async with transaction(self._pool) as connection:
            await self._hold(connection, digest)
            await _move(connection, digest.digest_id, digest.alerts, outcome, attempt=digest.attempts)
            await _SQL.leave(connection, lead_ids=[each.lead_id for each in digest.alerts])
            await _SQL.end_digest(
                connection,
                digest_id=digest.digest_id,
                reason=None if outcome.status is MailStatus.SENT else outcome.pause_reason,
                tries=int(outcome.status is not MailStatus.SENT),
            )

    async def record_sent(
        self, digest: ClaimedDigest, alerts: Sequence[CollectedAlert], outcome: MailOutcome
    ) -> None:
        """Write the outcome of alerts that were sent in another digest, and remove them from this one.

        This digest is released: it is claimed again, with the alerts that are left.
        """
        async with transaction(self._pool) as connection:
            await self._hold(connection, digest)
            await _move(connection, digest.digest_id, alerts, outcome, attempt=digest.attempts)
            await _SQL.leave(connection, lead_ids=[each.lead_id for each in alerts])
            await self._postpone(connection, digest, "", 0.0, tries=0)

    async def end_empty(self, digest: ClaimedDigest) -> None:
        """End a digest that has no leads any more."""
        async with transaction(self._pool) as connection:
            await self._hold(connection, digest)
            await _SQL.end_digest(connection, digest_id=digest.digest_id, reason=None, tries=0)

    async def renew(self, digest: ClaimedDigest) -> None:
        """Extend the lease of a digest whose outcome cannot be written yet."""
        async with transaction(self._pool) as connection:
            await self._hold(connection, digest)

    async def repeat(self, digest: ClaimedDigest, outcome: MailOutcome, seconds: float) -> None:
        """Write an outcome after which the same digest is sent again, in this many seconds."""
        async with transaction(self._pool) as connection:
            await self._hold(connection, digest)
            await _move(connection, digest.digest_id, digest.alerts, outcome, attempt=digest.attempts)
            await self._postpone(connection, digest, outcome.pause_reason, seconds, tries=1)

    async def release(self, digest: ClaimedDigest, reason: str, seconds: float) -> None:
        """Release a digest that was certainly not sent, so that it is sent in this many seconds."""
        async with transaction(self._pool) as connection:
            await self._hold(connection, digest)
            await _SQL.reset_mails(
                connection, owner=self._owner, lead_ids=[each.lead_id for each in digest.alerts]
            )
            await self._postpone(connection, digest, reason, seconds, tries=0)

    async def _hold(self, connection: Connection, digest: ClaimedDigest) -> None:
        held = await _SQL.hold(
            connection,
            digest_id=digest.digest_id,
            owner=self._owner,
            lease_seconds=self._sending_seconds,
        )
        if not held:
            raise DependencyUnavailable("lease", "another process has taken over the digest")

    async def _postpone(
        self, connection: Connection, digest: ClaimedDigest, reason: str, seconds: float, *, tries: int
    ) -> None:
        await _SQL.postpone(
            connection,
            digest_id=digest.digest_id,
            owner=self._owner,
            reason=reason,
            tries=tries,
            seconds=seconds,
        )


async def _move(
    connection: Connection,
    digest_id: UUID,
    alerts: Sequence[CollectedAlert],
    outcome: MailOutcome,
    *,
    attempt: int,
) -> None:
    event = AUDIT_EVENTS[outcome.status]
    await _SQL.move_mails(
        connection,
        digest_id=digest_id,
        lead_ids=[each.lead_id for each in alerts],
        states=[str(outcome.status)] * len(alerts),
        reasons=[outcome.reason] * len(alerts),
        events=[event] * len(alerts),
        event_ids=[_event_id(each, event, attempt) for each in alerts],
        request_ids=[storable(each.request_id) for each in alerts],
        code=outcome.code,
        enhanced=outcome.enhanced,
        answer=storable(outcome.reply or "") or None,
        quote=storable(outcome.quote or outcome.reason),
        tries=int(outcome.phase is not None),
    )


def _event_id(alert: CollectedAlert, event: AuditEvent, attempt: int) -> UUID:
    # A digest that is sent again has the same records, so the number of the attempt makes the id unique.
    return uuid5(alert.record_id, f"{event}\n{attempt}" if attempt else event)
