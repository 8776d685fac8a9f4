"""Sends the deliveries that are due. A slow or failing destination never delays the others."""

import asyncio
import contextlib
import random
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Final

from contracts.reasons import Reason
from runtime import metrics
from runtime.failures import Backoff, Failure
from runtime.logs import logger
from runtime.sites.secrets import ResolvedDestination
from runtime.tasks import seconds_to_next
from runtime.tracing.spans import client_span, set_attributes
from services.webhooks.attempts import Claim, NextState
from services.webhooks.body_template import BodyTemplateError
from services.webhooks.client import DestinationClient, Request
from services.webhooks.destinations import Destinations
from services.webhooks.outcome import Outcome, Result
from services.webhooks.requests import build_request
from services.webhooks.retry_schedule import RATE_LIMIT_PAUSE, RetrySchedule
from services.webhooks.store import Store

POLL_SECONDS: Final = 1.0
CONCURRENCY: Final = 8
"""Requests at once to one destination, over all processes."""
CHAT_GAP: Final = timedelta(seconds=1)
"""Slack takes one message a second from an incoming webhook. Teams and Discord take little more."""
_CHATS: Final = frozenset({"slack", "teams", "discord"})


def utc_now() -> datetime:
    """Return the time in UTC."""
    return datetime.now(UTC)


class Sender:
    """Claims due deliveries, sends them, and records the outcomes. Several processes share the work.

    The claim of a delivery is committed before the request begins. If the process dies, the claim's lease
    expires, and another process sends the delivery again with the same `webhook-id`.
    """

    def __init__(
        self,
        store: Store,
        client: DestinationClient,
        destinations: Destinations,
        retry_schedule: RetrySchedule,
        admin_url: str = "",
        *,
        now: Callable[[], datetime] = utc_now,
        rng: random.Random | None = None,
    ) -> None:
        self._store = store
        self._client = client
        self._destinations = destinations
        self._retry_schedule = retry_schedule
        self._admin_url = admin_url
        self._now = now
        self._rng = rng or random.Random()  # noqa: S311 - jitter, not a secret
        self._backoff = Backoff()
        self._stopping = asyncio.Event()
        self._workers: dict[str, asyncio.Task[None]] = {}
        self._known: dict[str, ResolvedDestination] = {}
        self._log = logger("deliver")

    async def run(self) -> None:
        """Send the deliveries that are due, until cancelled.

        The database is queried once a second, and after new events.
        """
        failures = 0
        while not self._stopping.is_set():
            self._destinations.wake.clear()
            try:
                await self._start_workers()
                failures = 0
            except Failure as failure:
                self._log.warning("deliveries paused", reason=failure.reason)
                await asyncio.sleep(self._backoff.seconds(failures))
                failures += 1
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._destinations.wake.wait(), seconds_to_next(POLL_SECONDS))

    async def drain(self) -> None:
        """Claim no more deliveries, and wait for the requests that are running. Each has a timeout."""
        self._stopping.set()
        self._destinations.wake.set()
        await asyncio.gather(*self._workers.values(), return_exceptions=True)

    async def _start_workers(self) -> None:
        by_name = self._destinations.by_name
        if new := by_name.keys() - self._known.keys():
            await self._store.add_destinations(new)
        # Somebody has corrected a mistake, so that the pause that it caused has no reason any more.
        if changed := [name for name, each in by_name.items() if self._known.get(name, each) != each]:
            await self._store.end_pauses(changed)
        self._known |= by_name
        if not by_name:
            return
        for name in await self._store.due_destinations(by_name):
            worker = self._workers.get(name)
            if worker is None or worker.done():
                self._workers[name] = asyncio.create_task(self._work(name), name=f"deliver {name}")

    async def _work(self, name: str) -> None:
        """Send the due deliveries of one destination, until none is left that may be sent now."""
        running = set[asyncio.Task[None]]()
        try:
            while not self._stopping.is_set() and (destination := self._destinations.by_name.get(name)):
                gap = CHAT_GAP if destination.settings.kind in _CHATS else timedelta(0)
                claims = await self._store.claim(name, CONCURRENCY, gap)
                running |= {asyncio.create_task(self._deliver(destination, claim)) for claim in claims}
                if not running:
                    return
                if claims and gap:
                    await asyncio.sleep(gap.total_seconds())
                _, running = await asyncio.wait(
                    running, timeout=POLL_SECONDS, return_when=asyncio.FIRST_COMPLETED
                )
        except Failure as failure:
            self._log.warning("deliveries paused", destination=name, reason=failure.reason)
        except Exception:  # noqa: BLE001 - a bug at one destination must not end the process
            metrics.BUGS.inc()
            self._log.exception("unexpected error, destination paused until the next poll", destination=name)
        finally:
            if running:
                await asyncio.wait(running)
            # What came while this worker ended must not wait for the next poll.
            self._destinations.wake.set()

    async def _deliver(self, destination: ResolvedDestination, claim: Claim) -> None:
        # A process that stood still: another one may have sent this delivery, and an erasure after it.
        if time.monotonic() > claim.deadline - self._client.timeout_seconds:
            return
        # Only an interrupted delivery can have used up its retries here. The settings may also have got fewer
        # waits since the last attempt: then a delivery that failed otherwise is still sent.
        if claim.is_interrupted and claim.retries > len(self._retry_schedule.waits):
            await self._record(claim, Outcome(Result.FAILED, reason=Reason.PROCESS_DIED_SENDING))
            return
        started = self._now()
        try:
            outcome = await self._attempt(destination, claim, started)
        except BodyTemplateError as error:
            reason = Reason.TEMPLATE_FAILED.format(exception=error)
            outcome = Outcome(Result.INVALID, reason=reason)
        except Exception as error:  # noqa: BLE001 - this delivery fails, the others continue
            metrics.BUGS.inc()
            self._log.exception("unexpected error, delivery failed", destination=claim.destination)
            outcome = Outcome(Result.FAILED, reason=Reason.BUG.format(exception=type(error).__name__))
        await self._record(claim, outcome)

    async def _attempt(self, destination: ResolvedDestination, claim: Claim, now: datetime) -> Outcome:
        if claim.body is None:
            return Outcome(Result.SKIPPED, reason=Reason.ERASED)
        with client_span("deliver", claim.traceparent) as traceparent:
            request = build_request(
                destination, str(claim.event_id), claim.body, now, self._admin_url, traceparent
            )
            if request is None:
                return Outcome(Result.SKIPPED, reason=Reason.TEMPLATE_MISSING)
            return await self._send(request, claim, now)

    async def _send(self, request: Request, claim: Claim, now: datetime) -> Outcome:
        set_attributes(destination=claim.destination, event_id=str(claim.event_id))
        began = time.monotonic()
        outcome = await self._client.send(request, now)
        seconds = time.monotonic() - began
        set_attributes(result=outcome.result.value)
        if outcome.status_code:
            set_attributes(status_code=outcome.status_code)
        metrics.WEBHOOK_SECONDS.labels(destination=claim.destination).observe(seconds)
        return replace(outcome, duration_ms=round(seconds * 1000))

    async def _record(self, claim: Claim, outcome: Outcome) -> None:
        """Record an outcome. Repeats while the database is unavailable, until the lease ends."""
        next_state, name = self._next_state(claim, outcome), claim.destination
        attempt, recorded = 0, False
        while time.monotonic() < claim.deadline:
            try:
                recorded = await self._store.record_outcome(claim, next_state, outcome)
                break
            except Failure as failure:
                self._log.warning("outcome not recorded", destination=name, reason=failure.reason)
                await asyncio.sleep(self._backoff.seconds(attempt))
                attempt += 1
        if not recorded:
            return  # the lease is over: the delivery is sent again, by this process or another
        if outcome.result == Result.GONE:
            self._log.error("destination disabled: it answered 410", destination=name)
        metrics.WEBHOOK_DELIVERIES.labels(destination=name, outcome=next_state.state).inc()
        self._log.info(
            "delivery attempted",
            destination=claim.destination,
            event_id=str(claim.event_id),
            lead_id=str(claim.lead_id),
            state=next_state.state,
            status_code=outcome.status_code,
            reason=outcome.reason,
        )

    def _next_state(self, claim: Claim, outcome: Outcome) -> NextState:
        if outcome.result == Result.DELIVERED:
            return NextState("delivered", claim.retries)
        if outcome.result == Result.SKIPPED:
            return NextState("suppressed", claim.retries)
        if outcome.result in (Result.RATE_LIMITED, Result.GONE):
            # The pause of the destination is the longer wait. An admin who ends it ends this wait, too.
            wait = min(outcome.retry_after or RATE_LIMIT_PAUSE, RATE_LIMIT_PAUSE)
            return NextState("failed", claim.retries, wait)
        scheduled = self._retry_schedule.wait(claim.retries, self._rng)
        if scheduled is None:
            return NextState("dead", claim.retries)
        wait = max(scheduled, outcome.retry_after or scheduled)
        return NextState("failed", claim.retries + 1, wait)
