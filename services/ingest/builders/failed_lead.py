"""Builds the failed record of an invalid lead from a form builder. No I/O, no clock.

The record looks like that of a refused lead from a website's queue, so people correct both in the same way.
"""

import json
from collections.abc import Mapping
from datetime import datetime
from hashlib import sha256
from typing import Final
from uuid import UUID, uuid5

from pydantic import JsonValue

from contracts import headers as h
from contracts.failures import HOOK_ORIGIN, SITE, LeadFailed, Origin
from contracts.lead_record import LeadRecord, headers_of
from contracts.leads import lead_id_for
from contracts.reasons import Reason
from runtime.http.problem_details import Problem
from services.ingest import problems
from services.ingest.builders.adapters import FLAT, Adapter
from services.ingest.lead_acceptance import RequestContext
from services.ingest.spam import is_filled

_KNOWN_FIELDS: Final = ("name", "email", "phone", "company", "message")


def is_correctable(problem: Problem, adapter: Adapter, body: Mapping[str, JsonValue]) -> bool:
    """Return True if a person can turn this body into a valid lead.

    A body with a filled honeypot is spam. A payload that no adapter recognises may be a builder's test. Such
    a payload is correctable only if at least one field of a lead has a value.
    """
    if problem.code != problems.invalid_lead([]).code:
        return False
    meta = body.get("meta")
    if isinstance(meta, dict) and is_filled(meta.get("honeypot")):
        return False
    return bool(body) and (adapter is not FLAT or any(body.get(name) for name in _KNOWN_FIELDS))


def build_failed_record(
    problem: Problem,
    body: Mapping[str, JsonValue],
    client_key: str | None,
    request: RequestContext,
    now: datetime,
) -> tuple[UUID, LeadRecord]:
    """Return the lead's id and its record for `leads.failed.v1`.

    The ids of the lead and of the failure are derived from the site, the client's key and the body. So the
    flusher recognizes a repeated request as a duplicate. The reason has the names of the invalid fields.
    """
    content = json.dumps(body, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
    digest = sha256(f"{client_key or ''}\n{content}".encode("utf-8", "replace")).digest()
    lead_id = lead_id_for(request.site, f"refused-{digest.hex()}")
    failed = LeadFailed(
        event_id=uuid5(lead_id, "lead.failed"),
        occurred_at=now,
        stage=SITE,
        kind="pull",
        final=False,
        reason=Reason.gateway_refused(problem.status, (error.field for error in problem.errors or ())),
        error="gateway",
        origin=Origin(
            topic=HOOK_ORIGIN + request.site,
            partition=-1,
            offset=int.from_bytes(digest[:8], "big") >> 1,  # PostgreSQL's bigint is signed
            timestamp_ms=round(now.timestamp() * 1000),
            consumer_group=SITE,
        ),
    )
    if request.default_service and not body.get("service"):
        content = json.dumps({**body, "service": request.default_service}, ensure_ascii=False)
    headers: h.Headers = headers_of(request.correlation_id, request.traceparent)
    value = content.encode("utf-8", "replace")
    return lead_id, LeadRecord(str(lead_id).encode(), value, failed.to_headers(headers))
