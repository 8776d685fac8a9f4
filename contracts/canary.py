"""The canary: a synthetic lead whose mark only an installation itself can make. No I/O, no clock.

The mark signs the whole content of the lead, which is fixed but for the canary's id. So a lead with anything
of a visitor in it is never a canary, whoever sends a mark again.
"""

import hmac
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Final
from uuid import UUID

from contracts import headers as h
from contracts.leads import LeadReceived, LeadSubmission

MARK_FIELD: Final = "fastcore_canary"
"""The field of a form or a submission that has the mark."""
RESPONSE_HEADER: Final = "FASTCore-Canary"
"""The gateway's response to a canary says here where the canary is: `kafka`, `spool`, `known`, `limited`."""
KNOWN: Final = "known"
"""The gateway has stored this canary before, and does not store it again."""
LIMITED: Final = "limited"
"""The site had too many canaries within the hour, and this one is not stored."""
NAME: Final = "FASTCore Canary"
EMAIL: Final = "canary@example.com"
# A website's own queue may hold a canary for as long as the gateway is unavailable.
MAX_AGE: Final = timedelta(days=7)
CURRENT: Final = timedelta(hours=1)
CLOCK_SKEW: Final = timedelta(minutes=5)


def message_of(canary_id: UUID) -> str:
    """Return the message of a canary."""
    return f"This is a test of the path that leads take. Nobody has to answer it. {canary_id}"


def make_mark(secret: bytes, site: str, canary_id: UUID) -> str:
    """Return the mark of a canary of a site: its id, a dot, and the signature as hex digits.

    `canary_id` is a UUIDv7 (RFC 9562), which contains the time.
    """
    return f"{canary_id}.{_sign(secret, site, canary_id)}"


def canary_fields(secret: bytes, site: str, canary_id: UUID) -> dict[str, str]:
    """Return a canary's form fields: its fixed content, and its mark."""
    return {
        "name": NAME,
        "email": EMAIL,
        "message": message_of(canary_id),
        MARK_FIELD: make_mark(secret, site, canary_id),
    }


def find_canary(secret: bytes, site: str, submission: LeadSubmission, now: datetime) -> UUID | None:
    """Return the id of the canary that this submission is, or None if it is an ordinary lead.

    It is an ordinary lead if the mark is missing, forged or older than `MAX_AGE`, or made for another site.
    It is one too if it has any other content than a canary.
    """
    extra = submission.extra
    mark = extra.get(MARK_FIELD)
    if not isinstance(mark, str) or len(extra) != 1:
        return None
    text, _, signature = mark.partition(".")
    try:
        canary_id = UUID(text)
    except ValueError:
        return None
    expected = (NAME, EMAIL, message_of(canary_id), None, None, None)
    content = (submission.name, submission.email, submission.message)
    if (*content, submission.phone, submission.company, submission.service) != expected:
        return None
    if not hmac.compare_digest(signature.encode(), _sign(secret, site, canary_id).encode()):
        return None
    age = now - _time_of(canary_id)
    return canary_id if -CLOCK_SKEW <= age <= MAX_AGE else None


def is_current(canary: LeadReceived, now: datetime) -> bool:
    """Return False if a canary is so late, or read again so late, that nobody waits for its result."""
    return now - canary.occurred_at < CURRENT


def canary_of(headers: Sequence[tuple[str, bytes]]) -> UUID | None:
    """Return the id of the canary that a record of Kafka is, or None for an ordinary record.

    Only the gateway writes this header, after it has checked the mark.
    """
    return h.uuid(tuple(headers), h.CANARY) if headers else None


def _sign(secret: bytes, site: str, canary_id: UUID) -> str:
    # A site's name contains no line end.
    return hmac.new(secret, f"fastcore canary v1\n{site}\n{canary_id}".encode(), sha256).hexdigest()


def _time_of(canary_id: UUID) -> datetime:
    """Return the time in a UUIDv7. The id is signed, so that it is one of ours."""
    return datetime.fromtimestamp((canary_id.int >> 80) / 1000, UTC)
