"""Writes the outcomes of attempts: the state of each delivery, and of its destination.

Attempts at one destination that end at about the same time share a transaction. The destinations do not share
one, so that none waits for another.
"""

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple
from uuid import UUID

from contracts.audit import AuditEvent
from contracts.reasons import Reason
from runtime.database.audit_log import append_action
from runtime.database.group_commit import GroupCommit
from runtime.database.postgres import Connection, Pool, load_queries, transaction_within
from services.webhooks.attempts import Claim, NextState
from services.webhooks.outcome import Outcome, Result
from services.webhooks.retry_schedule import FAILURES_BEFORE_PAUSE, RATE_LIMIT_PAUSE, pause

SQL: Any = load_queries(Path(__file__).with_name("outcome_writer.sql"))
ACTOR: Final = "webhooks"
# One write at a time for each destination: an outcome may wait for a write that hangs, and its own may hang.
# Both end before the lease does, so that the outcome is tried once more (`LEASE_MARGIN` in app.py).
WRITE_SECONDS: Final = 5.0


class Attempt(NamedTuple):
    """An attempt that has ended."""

    claim: Claim
    next_state: NextState
    outcome: Outcome


class OutcomeWriter:
    """Writes the outcomes of attempts. `rng` provides the jitter of pauses."""

    def __init__(self, pool: Pool, rng: random.Random) -> None:
        self._pool = pool
        self._rng = rng
        self._groups: dict[str, GroupCommit[Attempt, bool | None]] = {}  # by destination

    async def record_outcome(self, claim: Claim, next_state: NextState, outcome: Outcome) -> bool:
        """Write the outcome of an attempt. Returns False if another process has taken over the delivery.

        Raises `RetryableError` if the server rejects the data. Raises `DependencyUnavailable` if the database
        fails, or if a write takes longer than `WRITE_SECONDS`.
        """
        group = self._groups.setdefault(claim.destination, GroupCommit(self._write_group))
        attempt = Attempt(claim, next_state, outcome)
        recorded = await group(attempt)
        if recorded is None:
            async with transaction_within(self._pool, WRITE_SECONDS) as connection:
                event = await SQL.lock_event(connection, event_id=claim.event_id)
                erased = {claim.event_id} if event and event["is_erased"] else set[UUID]()
                return bool(await self._write(connection, [attempt], erased))
        return recorded

    async def _write_group(self, attempts: Sequence[Attempt]) -> list[bool | None]:
        """Write attempts at one destination. The result is None for an event that others have locked."""
        async with transaction_within(self._pool, WRITE_SECONDS) as connection:
            ids = [attempt.claim.event_id for attempt in attempts]
            is_erased = {row["id"]: row["is_erased"] async for row in SQL.lock_events(connection, ids=ids)}
            locked = [attempt for attempt in attempts if attempt.claim.event_id in is_erased]
            written = await self._write(connection, locked, {each for each in ids if is_erased.get(each)})
        return [
            _key(attempt.claim) in written if attempt.claim.event_id in is_erased else None
            for attempt in attempts
        ]

    async def _write(
        self, connection: Connection, attempts: Sequence[Attempt], erased: set[UUID]
    ) -> set[tuple[UUID, UUID]]:
        """Write attempts whose events are locked. Returns the keys of those that were not taken over.

        `erased` are the ids of the events whose lead was erased.
        """
        if not attempts:
            return set()
        rows = [_row(attempt, is_erased=attempt.claim.event_id in erased) for attempt in attempts]
        columns = {name: [row[name] for row in rows] for name in rows[0]}
        destination = attempts[0].claim.destination
        query = SQL.record_outcomes(connection, destination=destination, **columns)
        written = {(row["event_id"], row["owner"]) async for row in query}
        recorded = [attempt for attempt in attempts if _key(attempt.claim) in written]
        for claim, next_state, outcome in recorded:
            if next_state.state == "dead" and claim.event_id not in erased:
                details = {"destination": claim.destination, "event": claim.type, "reason": outcome.reason}
                await append_action(connection, AuditEvent.DELIVERY_DEAD, ACTOR, details, claim.lead_id)
            if outcome.result != Result.DELIVERED:
                await self._update_destination(connection, claim, outcome)
        # A pause ends if one of the requests that succeeded was claimed after it began.
        if claimed := [each.claim.claimed_at for each in recorded if each.outcome.result == Result.DELIVERED]:
            await SQL.note_success(connection, name=destination, claimed_at=max(claimed))
        return written

    async def _update_destination(self, connection: Connection, claim: Claim, outcome: Outcome) -> None:
        """Apply an outcome that is no success: begin or prolong a pause, or disable the destination."""
        name, reason = claim.destination, outcome.reason or ""
        about = {"name": name, "claimed_at": claim.claimed_at}
        match outcome.result:
            case Result.SKIPPED:
                await SQL.release_probe(connection, **about)
            case Result.INVALID:
                await SQL.note_invalid(connection, name=name, reason=reason)
                await SQL.release_probe(connection, **about)
            case Result.GONE:
                if await SQL.disable_destination(connection, name=name, reason=reason):
                    details = {"destination": name, "reason": reason}
                    await append_action(connection, AuditEvent.DESTINATION_DISABLED, ACTOR, details)
            case Result.RATE_LIMITED:
                wait = outcome.retry_after or RATE_LIMIT_PAUSE
                await SQL.pause_destination(connection, wait=wait, reason=reason, **about)
            case Result.FAILED:
                row = await SQL.note_failure(connection, reason=reason, **about)
                # A probe that fails begins a pause, also one after a rate limit.
                failures = max(row["failures"], FAILURES_BEFORE_PAUSE if row["is_paused"] else 0)
                if longer := pause(failures, self._rng):
                    await SQL.pause_destination(connection, wait=longer, reason=reason, **about)


def _key(claim: Claim) -> tuple[UUID, UUID]:
    """Return what identifies a claim: two claims of one event have different owners."""
    return claim.event_id, claim.owner


def _row(attempt: Attempt, *, is_erased: bool) -> dict[str, Any]:
    claim, next_state, outcome = attempt
    final = next_state.state in ("delivered", "suppressed")
    suppressed = is_erased and not final
    return {
        "event_ids": claim.event_id,
        "owners": claim.owner,
        "states": "suppressed" if suppressed else next_state.state,
        "types": claim.type,
        "status_codes": outcome.status_code,
        "reasons": Reason.ERASED if suppressed else outcome.reason,
        "responses": None if is_erased else outcome.response,
        "durations_ms": outcome.duration_ms,
        "retries": next_state.retries,
        "waits": None if is_erased or final else next_state.wait,
    }
