"""Accepts a valid submission: the steps that all endpoints of the gateway share."""

import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Final, NamedTuple, Protocol
from uuid import UUID

import uuid_utils
from uuid_utils.compat import uuid7

from contracts import headers, topics
from contracts.canary import KNOWN, LIMITED, find_canary
from contracts.lead_record import LeadRecord, body_sha256, build_record, request_id_of
from contracts.leads import LeadSubmission, lead_id_for
from contracts.reasons import LIMIT_REASONS, SpamReason
from contracts.times import utc_text
from runtime import metrics
from runtime.failures import DependencyUnavailable
from runtime.http.problem_details import ProblemError
from runtime.http.rate_limiter import RateLimiter
from runtime.logs import logger, logs_each_lead
from runtime.sites.model import NO_LIMITS, Limits
from runtime.tracing import spans
from services.ingest import problems
from services.ingest.idempotency_cache import CachedResponse, IdempotencyCache
from services.ingest.settings import Settings
from services.ingest.spam import SpamRules, check_content, visitor_network

# For each site. A canary beyond it is not stored. That loses nothing, as it has no content of a visitor:
# somebody sends a mark again and again.
CANARIES_PER_HOUR: Final = 120


class LeadSink(Protocol):
    """Stores accepted leads durably."""

    async def publish(self, record: LeadRecord) -> bool:
        """Store a record durably. Return True if it is in Kafka, and False if it is on disk.

        Raises `DependencyUnavailable` if it cannot be stored durably now.
        """


class RequestContext(NamedTuple):
    """The site that a request belongs to, and the ids of the request in logs and traces.

    `default_service` is used for a lead without a service. It may be empty. `limits` are the site's own rate
    limits.
    """

    site: str
    correlation_id: str
    traceparent: str | None = None
    default_service: str = ""
    limits: Limits = NO_LIMITS


class AcceptedLead(NamedTuple):
    """A lead that is stored durably. `replayed` is True if this replica has accepted the same lead before.

    `canary` says of a canary where it is (`contracts.canary.RESPONSE_HEADER`). It is empty for an ordinary
    lead.
    """

    lead_id: UUID
    timestamp: str
    replayed: bool
    canary: str = ""


class LeadAcceptance:
    """Stores each valid lead durably. Does not store a lead again while it is in the cache.

    Each replica has its own cache of accepted leads and its own rate limiters, which its workers share. Their
    memory is bounded.
    """

    def __init__(
        self,
        settings: Settings,
        leads: LeadSink,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._leads = leads
        self.now: Final = now
        self.monotonic: Final = monotonic
        self._spam_rules = SpamRules(settings.min_fill_seconds, settings.max_links)
        self.idempotency: Final = IdempotencyCache()
        self.ip_limiter: Final = RateLimiter(settings.leads_per_ip_per_hour, 3600)
        self.email_limiter: Final = RateLimiter(settings.leads_per_email_per_hour, 3600)
        self._canary_secret = settings.canary.key
        # Of its own: the canaries of many sites must not evict the leads' responses.
        self._canaries = IdempotencyCache()
        self._canary_limiter = RateLimiter(CANARIES_PER_HOUR, 3600)
        self._log = logger("receive")
        # Looked up once, because looking up a label costs more than counting.
        self._received, self._held, self._spam, self._replayed = (
            metrics.LEADS_ACCEPTED.labels(outcome=outcome)
            for outcome in ("received", "held", "spam", "replayed")
        )

    def was_accepted(self, site: str, key: str, within_seconds: float) -> bool:
        """Return True if the cache has a lead of this site and key, accepted in the last `within_seconds`."""
        cached = self.idempotency.get(lead_id_for(site, key))
        if cached is None:
            return False
        return (self.now() - datetime.fromisoformat(cached.timestamp)).total_seconds() < within_seconds

    def find_canary(self, site: str, submission: LeadSubmission) -> UUID | None:
        """Return the id of the canary that this submission is, or None if it is an ordinary lead."""
        if not self._canary_secret:
            return None
        return find_canary(self._canary_secret, site, submission, self.now())

    async def accept(
        self,
        submission: LeadSubmission,
        key: str | None,
        request: RequestContext,
        spam_reasons: Iterable[SpamReason] = (),
    ) -> AcceptedLead:
        """Return the lead once it is stored durably.

        `key` is the idempotency key, or None. If the cache has a lead of this site and key with the same
        content, returns the cached lead and stores nothing. `spam_reasons` are added to the reasons that this
        method finds.

        Raises `ProblemError` if the cached lead has another content, or if the lead cannot be stored durably
        now.
        """
        if canary_id := self.find_canary(request.site, submission):
            return await self._accept_canary(submission, canary_id, request)
        lead_id = lead_id_for(request.site, key) if key else uuid7()
        digest = body_sha256(submission)
        cached = self.idempotency.get(lead_id)
        if cached and cached.body_sha256 != digest:
            raise ProblemError(problems.KEY_REUSED)
        if cached:
            self._replayed.inc()
            return AcceptedLead(lead_id, cached.timestamp, replayed=True)
        now = self.now()
        reasons = (*self._spam_reasons(submission, lead_id, now, request), *spam_reasons)
        record = build_record(
            submission,
            lead_id=lead_id,
            request_id=request_id_of(key) if key else uuid_utils.uuid7().hex,
            site=request.site,
            default_service=request.default_service,
            digest=digest,
            now=now,
            spam_reasons=reasons,
            correlation_id=request.correlation_id,
            traceparent=request.traceparent,
        )
        await self._publish(record, lead_id, request.correlation_id)
        timestamp = utc_text(now)
        self.idempotency.add(lead_id, CachedResponse(digest, timestamp))
        if reasons:
            (self._held if LIMIT_REASONS.issuperset(reasons) else self._spam).inc()
        else:
            self._received.inc()
        if logs_each_lead():
            self._log.debug(
                "lead accepted",
                correlation_id=request.correlation_id,
                lead_id=str(lead_id),
                site=request.site,
                spam_reasons=[str(reason) for reason in reasons],
            )
        return AcceptedLead(lead_id, timestamp, replayed=False)

    async def _accept_canary(
        self, submission: LeadSubmission, canary_id: UUID, request: RequestContext
    ) -> AcceptedLead:
        """Store a canary durably. It is no lead: the limits of leads and their statistics do not see it."""
        now = self.now()
        timestamp = utc_text(now)
        if known := self._canaries.get(canary_id):
            return AcceptedLead(canary_id, known.timestamp, replayed=True, canary=KNOWN)
        if not self._canary_limiter.allow(request.site, self.monotonic()):
            return AcceptedLead(canary_id, timestamp, replayed=True, canary=LIMITED)
        digest = body_sha256(submission)
        record = build_record(
            submission,
            lead_id=canary_id,
            request_id=str(canary_id),
            site=request.site,
            default_service=request.default_service,
            digest=digest,
            now=now,
            spam_reasons=(),
            correlation_id=request.correlation_id,
            traceparent=request.traceparent,
        )
        record.headers.append((headers.CANARY, str(canary_id).encode()))
        in_kafka = await self._publish(record, canary_id, request.correlation_id)
        self._canaries.add(canary_id, CachedResponse(digest, timestamp))
        return AcceptedLead(canary_id, timestamp, replayed=False, canary="kafka" if in_kafka else "spool")

    async def _publish(self, record: LeadRecord, lead_id: UUID, correlation_id: str) -> bool:
        try:
            if not spans.enabled():
                return await self._leads.publish(record)
            spans.set_attributes(lead_id=str(lead_id))
            with spans.producer_span(topics.RECEIVED.name, record.headers, record.key) as carried:
                if carried is not record.headers:  # the span's own trace context
                    record = record._replace(headers=carried)
                return await self._leads.publish(record)
        except DependencyUnavailable as unavailable:
            self._log.warning(
                "lead not acknowledged",
                correlation_id=correlation_id,
                lead_id=str(lead_id),
                reason=unavailable.reason,
            )
            raise ProblemError(problems.UNAVAILABLE) from None

    def _spam_reasons(
        self, submission: LeadSubmission, lead_id: UUID, now: datetime, request: RequestContext
    ) -> tuple[SpamReason, ...]:
        reasons = check_content(submission, self._spam_rules, now)
        seconds, limits = self.monotonic(), request.limits
        network = visitor_network(submission.meta.ip) if submission.meta else None
        # The key contains the site, because one person may write to two sites. It is unambiguous: a site's
        # name contains no blank.
        if network and not self.ip_limiter.allow(
            f"{request.site} {network}", seconds, lead_id, limits.leads_per_ip_per_hour
        ):
            reasons.append(SpamReason.RATE_IP)
        email = submission.email
        if email and not self.email_limiter.allow(
            f"{request.site} {email.casefold()}", seconds, lead_id, limits.leads_per_email_per_hour
        ):
            reasons.append(SpamReason.RATE_EMAIL)
        return tuple(reasons)
