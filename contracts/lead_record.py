"""Builds the Kafka record of a lead from its submission. No I/O, no clock.

The record is serialised once. If it is spooled or retried, its bytes stay the same.
"""

import json
import re
from datetime import datetime
from hashlib import sha256
from typing import Final, NamedTuple
from uuid import UUID

from pydantic import JsonValue
from pydantic_core import to_json
from uuid_utils import uuid7

from contracts import headers as h
from contracts.leads import LeadSubmission
from contracts.visit import Source

_TRACEPARENT: Final = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
_EXTRA: Final = json.JSONEncoder(sort_keys=True, separators=(",", ":"))
# The fields of `source` that the first release knew. The digest covers only them, so that a lead that is sent
# again after an upgrade has the same digest. A record contains these fields always, and other fields only if
# they have a value.
_FIRST_SOURCE_FIELDS: Final = dict.fromkeys(  # ordered, and fast to look up
    ("page_url", "referrer", "utm_source", "utm_medium", "utm_campaign", "utm_term", "utm_content")
)
_NOT_DIGESTED: Final = frozenset({"meta", "request_id", "source"})
_ABSENT: Final[tuple[JsonValue, ...]] = (None, "", [], {})


class LeadRecord(NamedTuple):
    """The Kafka record of one lead."""

    key: bytes
    value: bytes
    headers: h.Headers


def body_sha256(submission: LeadSubmission) -> str:
    """Return the SHA-256 of a submission's content.

    The gateway and the persister compare it, to detect two different leads with the same idempotency key.
    These are not part of the content: nulls, `meta`, `request_id`, and fields of `source` that the first
    release did not have. The order of keys does not matter, and neither do blanks at the ends of texts. The
    order of a list matters. 1 differs from 1.0.
    """
    known = submission.model_dump_json(exclude={*_NOT_DIGESTED, *submission.extra}, exclude_none=True)
    if submission.source:  # the last of the digested fields
        values = submission.source.__dict__
        source = {name: value for name in _FIRST_SOURCE_FIELDS if (value := values[name]) is not None}
        known = f'{known[:-1]},"source":{to_json(source).decode()}}}'
    digest = sha256(known.encode())
    if submission.extra:
        digest.update(_EXTRA.encode(submission.extra).encode())
    return digest.hexdigest()


def request_id_of(key: str) -> str:
    """Return the request id made from an idempotency key: the key, or its digest if the key contains "@".

    The request id is stored in the audit log, which must not contain an email address.
    """
    return f"sha256-{sha256(key.encode()).hexdigest()}" if "@" in key else key


def service_of(submission: LeadSubmission, default_service: str) -> str:
    """Return the service that the visitor asks for, such as "Web design".

    This is the first of these texts that is not empty: the field `service`, the site's default, the title of
    the page. If all are empty, the result is empty too.
    """
    title = submission.source.page_title if submission.source else None
    return submission.service or default_service or title or ""


def _source_values(source: Source | None) -> dict[str, JsonValue] | None:
    """Return the values of a source. An empty text has no meaning and becomes null."""
    if source is None:
        return None
    known = source.__dict__.items()
    values = {name: value or None for name, value in known if value or name in _FIRST_SOURCE_FIELDS}
    unknown = {name: value for name, value in source.extra.items() if value not in _ABSENT}
    return values | unknown


def build_record(
    submission: LeadSubmission,
    *,
    lead_id: UUID,
    request_id: str,
    site: str,
    default_service: str,
    digest: str,
    now: datetime,
    spam_reasons: tuple[str, ...],
    correlation_id: str,
    traceparent: str | None,
) -> LeadRecord:
    """Return the Kafka record of a lead: the submission as `LeadReceived`, with the lead's id as key.

    `default_service` may be empty. The submission's anti-spam signals are left out, and so is a malformed
    `traceparent`.
    """
    meta = submission.meta
    # A dictionary, because creating a LeadReceived would validate the submission again. A test validates the
    # dictionary.
    lead = {
        "schema_version": 1,
        "event_id": str(uuid7()),
        "occurred_at": now,
        "lead_id": lead_id,
        "request_id": request_id,
        "site": site,
        "body_sha256": digest,
        "name": submission.name or None,
        "email": submission.email,
        "service": service_of(submission, default_service),
        "message": submission.message,
        "phone": submission.phone or None,
        "company": submission.company or None,
        "consent": submission.consent,
        "consent_text": meta.consent_text if meta else None,
        "consent_version": meta.consent_version if meta else None,
        "locale": submission.locale or None,
        "submitted_at": submission.submitted_at,
        "source": _source_values(submission.source),
        "extra": submission.extra,
        "spam_reasons": spam_reasons,
    }
    return LeadRecord(str(lead_id).encode(), to_json(lead), headers_of(correlation_id, traceparent))


def headers_of(correlation_id: str, traceparent: str | None) -> h.Headers:
    """Return the headers of a lead's record. Omits a malformed `traceparent`."""
    headers: h.Headers = [
        (h.CONTENT_TYPE, b"application/json"),
        (h.CORRELATION_ID, correlation_id.encode()),
    ]
    if traceparent and _TRACEPARENT.fullmatch(traceparent):
        headers.append((h.TRACEPARENT, traceparent.encode()))
    return headers
