"""The base class of the endpoints that require a secret.

It limits the rate of requests, sets the correlation id, responds with problems, and audits refused requests.
"""

import math
from abc import ABC, abstractmethod
from typing import Final, Protocol

from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from uuid_utils.compat import uuid7

from contracts.audit import AuditEvent, AuditRecorded
from runtime.http.problem_details import Problem, ProblemError
from runtime.http.rate_limiter import RateLimiter
from runtime.logs import logger
from services.ingest import problems
from services.ingest.lead_acceptance import LeadAcceptance
from services.ingest.request import LeadRequest
from services.ingest.responses import correlation_id_of, report_refusal
from services.ingest.settings import Settings
from services.ingest.site_directory import SiteDirectory


class AuditSink(Protocol):
    """Accepts the audit entries of rejected requests."""

    def enqueue(self, entry: AuditRecorded) -> None:
        """Queue an entry for publication, without waiting."""


class AuthenticatedEndpoint(ABC):
    """The ASGI app of a POST route. A secret in the request identifies the site that sent it."""

    def __init__(
        self,
        settings: Settings,
        sites: SiteDirectory,
        acceptance: LeadAcceptance,
        audit: AuditSink,
    ) -> None:
        self._sites = sites
        self._acceptance = acceptance
        self._audit = audit
        self.token_limiter: Final = RateLimiter(settings.requests_per_token_per_minute, 60)
        self._log = logger("receive")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one POST with the response of `respond`."""
        response = await self.respond(LeadRequest(scope, receive))
        await response(scope, receive, send)

    async def respond(self, request: LeadRequest) -> Response:
        """Return a 201 or a problem. A problem is audited if the secret identifies a site."""
        correlation_id = correlation_id_of(request)
        site: str | None = None
        headers = {"X-Request-ID": correlation_id}
        try:
            site = self._authenticate(request)
            self._limit_rate(site, headers)
            return await self._accept(request, site, correlation_id, headers)
        except ProblemError as rejected:
            problem = rejected.problem
        except Exception:  # noqa: BLE001 - the client gets a usable response, whatever the error
            self._log.exception("request failed", correlation_id=correlation_id)
            problem = problems.INTERNAL_ERROR
        return self._reject(problem, site, correlation_id, headers)

    @abstractmethod
    def _authenticate(self, request: LeadRequest) -> str:
        """Return the site's name. Raises `ProblemError` for an unknown secret."""

    @abstractmethod
    async def _accept(
        self, request: LeadRequest, site: str, correlation_id: str, headers: dict[str, str]
    ) -> Response:
        """Store the lead durably and return the response. Raises `ProblemError` if the lead is refused."""

    def _limit_rate(self, site: str, headers: dict[str, str]) -> None:
        """Apply the rate limit and report it in `headers` (draft-ietf-httpapi-ratelimit-headers)."""
        limiter = self.token_limiter
        if not limiter.limit:
            return
        now = self._acceptance.monotonic()
        allowed = limiter.allow(site, now)
        seconds = math.ceil(limiter.seconds_until_reset(site, now))
        headers["RateLimit-Policy"] = f'"token";q={limiter.limit};w={int(limiter.seconds)}'
        headers["RateLimit"] = f'"token";r={limiter.remaining(site)};t={seconds}'
        if not allowed:
            raise ProblemError(problems.too_many_requests(max(1, seconds)))

    def _reject(
        self, problem: Problem, site: str | None, correlation_id: str, headers: dict[str, str]
    ) -> Response:
        self._report_refusal(problem, site, correlation_id)
        if problem.status == problems.TOO_SLOW.status:
            headers["Connection"] = "close"
        return problem.response(headers)

    def _report_refusal(self, problem: Problem, site: str | None, correlation_id: str) -> None:
        report_refusal(self._log, problem, correlation_id, site)
        # Unauthenticated requests are only counted: they could fill the audit log, which is never pruned.
        if site is not None:
            self._enqueue_audit_entry(problem, site, correlation_id)

    def _enqueue_audit_entry(self, problem: Problem, site: str, correlation_id: str) -> None:
        fields = sorted({error.field for error in problem.errors or ()})
        self._audit.enqueue(
            AuditRecorded(
                event_id=uuid7(),
                occurred_at=self._acceptance.now(),
                event=AuditEvent.LEAD_REJECTED,
                actor=site,
                status_code=problem.status,
                request_id=correlation_id,
                details={"code": problem.code, "fields": fields},
            )
        )
