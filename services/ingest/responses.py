"""Builds the responses of all endpoints of the gateway, and reports refused requests.

A JSON body ends with a line end, so that the shell's prompt after `curl` begins on a line of its own.
"""

import re
from typing import Any, Final
from uuid import UUID

from pydantic_core import to_json
from starlette.responses import Response
from uuid_utils import uuid7

from contracts.canary import RESPONSE_HEADER as CANARY_RESPONSE_HEADER
from runtime import metrics
from runtime.http.problem_details import Problem
from services.ingest.lead_acceptance import AcceptedLead
from services.ingest.request import LeadRequest

# Excludes @ and blanks: the id goes into logs and headers, which must not hold a person's address or name.
_CORRELATION_ID: Final = re.compile(r"[A-Za-z0-9._:\-]{1,128}")


def correlation_id_of(request: LeadRequest) -> str:
    """Return the request's `X-Request-ID` if it is safe to log, else a new id."""
    request_id = request.header(b"x-request-id") or ""
    return request_id if _CORRELATION_ID.fullmatch(request_id) else uuid7().hex


def accepted_json(lead: AcceptedLead) -> bytes:
    """Return the JSON body of the response for a lead that has been stored durably."""
    return to_json({"leadId": lead.lead_id, "timestamp": lead.timestamp, "status": "received"}) + b"\n"


def needs_correction_json(lead_id: UUID, timestamp: str) -> bytes:
    """Return the JSON body of the response for a lead that is kept until somebody corrects it."""
    return to_json({"leadId": lead_id, "timestamp": timestamp, "status": "needs-correction"}) + b"\n"


class _Created(Response):
    """A 201 with a JSON body. Its constructor does only what that needs, in a third of Starlette's time."""

    def __init__(self, body: bytes, headers: dict[str, str]) -> None:
        self.status_code, self.body, self.background = 201, body, None
        self.raw_headers = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
        self.raw_headers += [(b"content-length", b"%d" % len(body)), (b"content-type", b"application/json")]


def created(lead: AcceptedLead, headers: dict[str, str]) -> Response:
    """Return the 201 response for a lead that has been stored durably."""
    if lead.replayed:
        headers = {**headers, "Idempotent-Replayed": "true"}
    if lead.canary:
        headers = {**headers, CANARY_RESPONSE_HEADER: lead.canary}
    return _Created(accepted_json(lead), headers)


def report_refusal(log: Any, problem: Problem, correlation_id: str, site: str | None) -> None:
    """Count a refused request and log it. `site` is None or empty if the request did not identify a site."""
    metrics.REQUESTS_REJECTED.labels(code=problem.code).inc()
    log.info("request refused", correlation_id=correlation_id, code=problem.code, site=site or "anonymous")
