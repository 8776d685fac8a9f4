"""What the result of a request to a destination means: delivered, failed, rate-limited, or gone. No I/O."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from enum import StrEnum
from http import HTTPStatus
from typing import Final

from contracts.reasons import Reason
from services.webhooks.retry_schedule import MAX_RETRY_AFTER

RESPONSE_STORED_CHARACTERS: Final = 1024
"""How much of a response is stored."""


class Result(StrEnum):
    """The result of an attempt. It decides what happens next to the delivery."""

    DELIVERED = "delivered"
    INVALID = "invalid"  # no request could be made: uses up a retry, but is not the destination's fault
    FAILED = "failed"  # uses up a retry
    RATE_LIMITED = "rate_limited"  # uses up no retry; the destination waits
    SKIPPED = "skipped"  # nothing was sent, and nothing will be
    GONE = "gone"  # uses up no retry; the destination is disabled


@dataclass(frozen=True)
class Outcome:
    """The outcome of one attempt. `reason` contains only our own words; `response` is the receiver's text.

    `duration_ms` is the time from the request to the end of the response. It is None if no request was sent.
    """

    result: Result
    status_code: int | None = None
    reason: str | None = None
    response: str | None = field(default=None, repr=False)
    retry_after: timedelta | None = None
    duration_ms: int | None = None


def outcome_of(
    status_code: int, retry_after: str | None, response: str, now: datetime, expect: str = ""
) -> Outcome:
    """Return what a response means. `retry_after` is the value of the header `Retry-After`, or None.

    2xx is success if the response contains `expect`, and a failure otherwise. 410 means that the receiver
    wants no more events (Standard Webhooks 1.0). `Retry-After` is used only with 429 and 503 (RFC 9110,
    10.2.3). A redirect is a failure, because it could lead to another server.
    """
    text = response.replace("\x00", "")[:RESPONSE_STORED_CHARACTERS]
    if 200 <= status_code < 300 and expect not in response:
        return Outcome(
            Result.FAILED, status_code, Reason.DESTINATION_LACKS_TEXT.format(status=status_code), text
        )
    if 200 <= status_code < 300:
        return Outcome(Result.DELIVERED, status_code, None, text)
    reason = Reason.DESTINATION_ANSWERED.format(status=status_code)
    if status_code == HTTPStatus.GONE:
        return Outcome(Result.GONE, status_code, reason, text)
    wait = parse_retry_after(retry_after, now)
    if status_code == HTTPStatus.TOO_MANY_REQUESTS:
        return Outcome(Result.RATE_LIMITED, status_code, reason, text, wait)
    if status_code != HTTPStatus.SERVICE_UNAVAILABLE:
        wait = None
    return Outcome(Result.FAILED, status_code, reason, text, wait)


def parse_retry_after(value: str | None, now: datetime) -> timedelta | None:
    """Return the wait that a `Retry-After` header requests, limited to between 1 s and 24 h.

    The header contains seconds or a date. Returns None if it is missing or cannot be read.
    """
    text = (value or "").strip()
    if text.isascii() and text.isdecimal():
        wait = timedelta(seconds=int(text[:9]))
    else:
        try:
            at = parsedate_to_datetime(text)
        except (ValueError, OverflowError):  # a year or a zone of 20 digits overflows
            return None
        wait = (at if at.tzinfo else at.replace(tzinfo=UTC)) - now
    return min(max(wait, timedelta(seconds=1)), MAX_RETRY_AFTER)
