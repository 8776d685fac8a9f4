"""`POST /inbound/leads` and `GET /internal/status`. What spam is, what a record is, and Kafka live elsewhere.

Plain ASGI: one validation straight from the bytes, one serialisation (docs/decisions/0011).
"""

import math
import re
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final, Protocol
from uuid import UUID

import uuid_utils
from pydantic import TypeAdapter, ValidationError
from pydantic_core import from_json, to_json
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send
from uuid_utils.compat import uuid7

from contracts import topics
from contracts.audit import AuditEvent, AuditRecorded
from contracts.leads import IdempotencyKey, LeadSubmission, lead_id_for
from runtime import metrics
from runtime.failures import DependencyUnavailable
from runtime.health import Health
from runtime.http.problem_details import FieldProblem, Problem, ProblemError
from runtime.http.rate_limiter import RateLimiter
from runtime.http.tokens import BearerTokens
from runtime.logs import logger
from runtime.tracing import spans
from services.ingest import problems
from services.ingest.idempotency_cache import CachedResponse, IdempotencyCache
from services.ingest.lead_record import LeadRecord, body_sha256, build_record, request_id_of
from services.ingest.request import LeadRequest
from services.ingest.settings import Settings
from services.ingest.spam import SpamReason, SpamRules, spam_reasons_of, visitor_network
from services.ingest.spool.spool import Spool

PATH: Final = "/inbound/leads"
# No @ and no blank: what stands in logs and headers must not be a person's address or name.
_CORRELATION: Final = re.compile(r"[A-Za-z0-9._:\-]{1,128}")
# Looked up once: a label's metric costs more to find than to count with.
_RECEIVED, _SPAM, _REPLAYED = (
    metrics.LEADS_ACCEPTED.labels(outcome=outcome) for outcome in ("received", "spam", "replayed")
)
_KEY: Final = TypeAdapter[str](IdempotencyKey)


class LeadSink(Protocol):
    """Where an accepted lead goes: it is safe when this returns, or `DependencyUnavailable` was raised."""

    async def publish(self, record: LeadRecord) -> None:
        """Make one record durable."""


class AuditSink(Protocol):
    """Where entries about refused requests go."""

    def note(self, entry: AuditRecorded) -> None:
        """Take an entry without waiting."""


class LeadEndpoint:
    """Answers the gateway's requests. Everything it remembers is bounded and this replica's own."""

    def __init__(
        self,
        settings: Settings,
        leads: LeadSink,
        trail: AuditSink,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._leads = leads
        self._trail = trail
        self._now = now
        self._monotonic = monotonic
        self._rules = SpamRules(settings.min_fill_seconds, settings.max_links)
        self._tokens = BearerTokens(settings.sites())
        self._memory = IdempotencyCache()
        self._flood = RateLimiter(settings.requests_per_token_per_minute, 60)
        self._by_ip = RateLimiter(settings.leads_per_ip_per_hour, 3600)
        self._by_email = RateLimiter(settings.leads_per_email_per_hour, 3600)
        self._log = logger("receive")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one POST: 201, or a problem with its entry in the audit trail."""
        body = LeadRequest(scope, receive)
        given = body.header(b"x-request-id") or ""
        correlation_id = given if _CORRELATION.fullmatch(given) else uuid_utils.uuid7().hex
        answer = await self._answer(body, correlation_id)
        await answer(scope, receive, send)

    async def _answer(self, body: LeadRequest, correlation_id: str) -> ASGIApp:
        site: str | None = None
        headers = {"X-Request-ID": correlation_id}
        try:
            site = self._authenticate(body)
            self._count(site, headers)
            return await self._accept(body, site, correlation_id, headers)
        except ProblemError as refused:
            problem = refused.problem
        except Exception:  # noqa: BLE001 - whatever it was, the client gets an answer that it can use
            self._log.exception("request failed", correlation_id=correlation_id)
            problem = problems.INTERNAL_ERROR
        return await self._refuse(problem, site, correlation_id, headers)

    def _authenticate(self, body: LeadRequest) -> str:
        site = self._tokens.find_by_header(body.header(b"authorization"))
        if site is None:
            raise ProblemError(problems.UNAUTHORIZED)
        return site

    def _count(self, site: str, headers: dict[str, str]) -> None:
        """Apply the flood limit, and say where it stands (draft-ietf-httpapi-ratelimit-headers)."""
        if not self._flood.limit:
            return
        now = self._monotonic()
        within = self._flood.allow(site, now)
        seconds = math.ceil(self._flood.seconds_until_reset(site, now))
        headers["RateLimit-Policy"] = f'"token";q={self._flood.limit};w={int(self._flood.seconds)}'
        headers["RateLimit"] = f'"token";r={self._flood.remaining(site)};t={seconds}'
        if not within:
            raise ProblemError(problems.too_many_requests(max(1, seconds)))

    async def _accept(
        self, body: LeadRequest, site: str, correlation_id: str, headers: dict[str, str]
    ) -> ASGIApp:
        text = await body.read()
        submission, key = _read(text, body.header(b"idempotency-key"))
        lead_id = lead_id_for(site, key) if key else uuid7()
        digest = body_sha256(submission)
        known = self._memory.find(lead_id)
        if known and known.body_sha256 != digest:
            raise ProblemError(problems.KEY_REUSED)
        if known:
            _REPLAYED.inc()
            return _created(lead_id, known.timestamp, {**headers, "Idempotent-Replayed": "true"})
        now = self._now()
        spam_reasons = self._judge(submission, lead_id, now)
        record = build_record(
            submission,
            lead_id=lead_id,
            request_id=request_id_of(key) if key else uuid_utils.uuid7().hex,
            site=site,
            digest=digest,
            now=now,
            spam_reasons=spam_reasons,
            correlation_id=correlation_id,
            traceparent=body.header(b"traceparent"),
        )
        if spans.enabled():
            spans.set_attributes(lead_id=str(lead_id))
        try:
            with spans.producer_span(topics.RECEIVED.name, record.headers, record.key) as carried:
                await self._leads.publish(
                    record if carried is record.headers else record._replace(headers=carried)
                )
        except DependencyUnavailable as away:
            self._log.warning(
                "lead not acknowledged",
                correlation_id=correlation_id,
                lead_id=str(lead_id),
                reason=away.reason,
            )
            raise ProblemError(problems.UNAVAILABLE) from None
        timestamp = now.isoformat(timespec="microseconds").replace("+00:00", "Z")
        self._memory.keep(lead_id, CachedResponse(digest, timestamp))
        (_SPAM if spam_reasons else _RECEIVED).inc()
        return _created(lead_id, timestamp, headers)

    def _judge(self, submission: LeadSubmission, lead_id: UUID, now: datetime) -> tuple[str, ...]:
        reasons = spam_reasons_of(submission, self._rules, now)
        seconds = self._monotonic()
        network = visitor_network(submission.meta.ip) if submission.meta else None
        if network and not self._by_ip.allow(network, seconds, lead_id):
            reasons.append(SpamReason.RATE_IP)
        if not self._by_email.allow(submission.email.casefold(), seconds, lead_id):
            reasons.append(SpamReason.RATE_EMAIL)
        return tuple(reasons)

    async def _refuse(
        self, problem: Problem, site: str | None, correlation_id: str, headers: dict[str, str]
    ) -> ASGIApp:
        metrics.REQUESTS_REJECTED.labels(code=problem.code).inc()
        self._log.info(
            "request refused", correlation_id=correlation_id, code=problem.code, site=site or "anonymous"
        )
        if site is not None:  # strangers could fill a log that nobody may delete: they are only counted
            self._record(problem, site, correlation_id)
        if problem.status == problems.TOO_SLOW.status:
            headers["Connection"] = "close"
        return problem.response(headers)

    def _record(self, problem: Problem, site: str, correlation_id: str) -> None:
        """Have a site's refused request entered in the audit log."""
        details = {"code": problem.code, "fields": sorted({error.field for error in problem.errors or ()})}
        self._trail.note(
            AuditRecorded(
                event_id=uuid7(),
                occurred_at=self._now(),
                event=AuditEvent.LEAD_REJECTED,
                actor=site,
                status_code=problem.status,
                request_id=correlation_id,
                details=details,
            )
        )


def _read(body: bytes, header_key: str | None) -> tuple[LeadSubmission, str | None]:
    """Validate body and key together, so that the answer names every problem at once."""
    errors: list[FieldProblem] = []
    key = None
    if header_key is not None:
        try:
            key = _KEY.validate_python(header_key)
        except ValidationError:
            errors.append(
                FieldProblem(field="Idempotency-Key", message="must be 1 to 255 printable ASCII characters")
            )
    if b"NaN" in body or b"Infinity" in body:
        _refuse_nan(body)
    try:
        submission = LeadSubmission.model_validate_json(body)
    except ValidationError as error:
        if problems.is_not_json(error):
            raise ProblemError(problems.NOT_JSON) from None
        errors += problems.field_problems(error)
    if errors:
        raise ProblemError(problems.invalid_lead(errors))
    return submission, key or submission.request_id


def _refuse_nan(body: bytes) -> None:
    # pydantic reads NaN and Infinity, which are no JSON. Asked only where these letters occur: a
    # second reading of every body would cost what the first one did.
    try:
        from_json(body, allow_inf_nan=False)
    except ValueError:
        raise ProblemError(problems.NOT_JSON) from None


def _created(lead_id: UUID, timestamp: str, headers: dict[str, str]) -> Response:
    answer = {"leadId": lead_id, "timestamp": timestamp, "status": "received"}
    return Response(to_json(answer), status_code=201, media_type="application/json", headers=headers)


async def status(kafka: Health, spool: Spool, breaker: Callable[[], str]) -> JSONResponse:
    """Report how this gateway stands, for the admin service. Kafka is asked now."""
    await kafka.refresh()
    part = kafka.parts.get("kafka_producer")
    return JSONResponse(
        {
            "spool": {
                "depth": spool.leads,
                "bytes": spool.bytes,
                "oldest_age_seconds": spool.oldest_age_seconds,
                "damaged_files": spool.damaged_files,
            },
            "breaker": breaker(),
            "kafka": part and {"ok": part.ok, "reason": part.reason, "since": part.since.isoformat()},
        }
    )
