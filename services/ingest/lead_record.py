"""A submission becomes a lead, and a lead becomes the bytes of its record. No I/O, no clock.

The bytes are built once: whoever publishes later (a spool, a retry) publishes the same ones.
"""

import json
import re
from datetime import datetime
from hashlib import sha256
from typing import Final, NamedTuple
from uuid import UUID

from pydantic_core import to_json
from uuid_utils import uuid7

from contracts import headers as h
from contracts.leads import LeadSubmission

_TRACEPARENT: Final = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
_EXTRA: Final = json.JSONEncoder(sort_keys=True, separators=(",", ":"))
_NOT_SAID: Final = frozenset({"meta", "request_id"})


class LeadRecord(NamedTuple):
    """What is published, byte for byte."""

    key: bytes
    value: bytes
    headers: h.Headers


def body_sha256(submission: LeadSubmission) -> str:
    """Digest what was said, not how: the trimmed body without `meta`, `request_id` and nulls.

    The order of keys, whitespace and absent fields do not count, so the same lead resubmitted under
    its key matches. Lists keep their order; 1 and 1.0 differ.
    """
    declared = submission.model_dump_json(exclude={*_NOT_SAID, *submission.extra}, exclude_none=True)
    digest = sha256(declared.encode())
    if submission.extra:
        digest.update(_EXTRA.encode(submission.extra).encode())
    return digest.hexdigest()


def request_id_of(key: str) -> str:
    """Return a key as it may stand in the audit log for ever: one that may hold an address as its digest."""
    return f"sha256-{sha256(key.encode()).hexdigest()}" if "@" in key else key


def build_record(
    submission: LeadSubmission,
    *,
    lead_id: UUID,
    request_id: str,
    site: str,
    digest: str,
    now: datetime,
    spam_reasons: tuple[str, ...],
    correlation_id: str,
    traceparent: str | None,
) -> LeadRecord:
    """Write `LeadReceived`, keyed by the lead's id: what of a submission is handed on, once serialised.

    The visitor's signals are not. A `traceparent` that is none is not passed on.
    """
    meta = submission.meta
    # A mapping, not the model: its validation would only repeat the submission's. A test reads it back.
    lead = {
        "schema_version": 1,
        "event_id": str(uuid7()),
        "occurred_at": now,
        "lead_id": lead_id,
        "request_id": request_id,
        "site": site,
        "body_sha256": digest,
        "name": submission.name,
        "email": submission.email,
        "service": submission.service,
        "message": submission.message,
        "phone": submission.phone,
        "company": submission.company,
        "consent": submission.consent,
        "consent_text": meta.consent_text if meta else None,
        "consent_version": meta.consent_version if meta else None,
        "locale": submission.locale,
        "submitted_at": submission.submitted_at,
        "source": submission.source,
        "extra": submission.extra,
        "spam_reasons": spam_reasons,
    }
    headers: h.Headers = [
        (h.CONTENT_TYPE, b"application/json"),
        (h.CORRELATION_ID, correlation_id.encode()),
    ]
    if traceparent and _TRACEPARENT.fullmatch(traceparent):
        headers.append((h.TRACEPARENT, traceparent.encode()))
    return LeadRecord(str(lead_id).encode(), to_json(lead), headers)
