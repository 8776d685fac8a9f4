"""Builds the Kafka records of corrected leads from form builders. No I/O.

The gateway refused these leads when a form builder sent them. Since then, somebody has corrected them.
"""

from typing import Final
from uuid import UUID

from pydantic import ValidationError

from contracts import headers as h
from contracts import topics
from contracts.failures import HOOK_ORIGIN
from contracts.forgiving import NotJsonError, parse_submission_json
from contracts.lead_record import body_sha256, build_record
from contracts.leads import INCOMPLETE, field_name
from contracts.reasons import Reason
from runtime.failures import PermanentError, RetryableError
from services.flusher.retries.retry_rules import OutgoingRecord, Row

_REFUSED: Final = 422


def corrected_lead(row: Row) -> OutgoingRecord:
    """Return the record of a form builder's lead for `leads.received.v1`, with the lead's id as key.

    Validates the lead by the gateway's rules. Raises `RetryableError` with the names of the fields if the
    lead is still invalid, and `PermanentError` if the row has no lead.
    """
    if row.lead_id is None or row.payload is None:
        raise PermanentError(Reason.UNDECODABLE)
    try:
        submission = parse_submission_json(row.payload)
    except (NotJsonError, ValidationError) as error:
        raise RetryableError(Reason.gateway_refused(_REFUSED, _invalid_fields(error))) from None
    record = build_record(
        submission,
        lead_id=row.lead_id,
        request_id=_request_id(row.id),
        site=row.origin_topic.removeprefix(HOOK_ORIGIN),
        default_service="",
        digest=body_sha256(submission),
        now=row.origin_timestamp,  # when the visitor sent the form
        spam_reasons=(),  # somebody has read the lead
        correlation_id=row.headers.get(h.CORRELATION_ID, _request_id(row.id)),
        traceparent=row.headers.get(h.TRACEPARENT),
    )
    return OutgoingRecord(topics.RECEIVED.name, *record)


def _request_id(queue_id: UUID) -> str:
    return f"hook-{queue_id}"


def _invalid_fields(error: NotJsonError | ValidationError) -> set[str]:
    names = set[str]()
    if isinstance(error, ValidationError):
        for item in error.errors(include_input=False, include_url=False):
            names.update(item["ctx"]["fields"] if item["type"] == INCOMPLETE else [field_name(item["loc"])])
    return names
