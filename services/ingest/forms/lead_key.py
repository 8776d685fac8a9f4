"""The idempotency key of a form's lead."""

from hashlib import sha256
from typing import Final

from contracts.forgiving import read_key
from contracts.lead_record import body_sha256
from contracts.leads import LeadSubmission
from services.ingest.lead_acceptance import LeadAcceptance

# A double click or a reload repeats a form within seconds. A visitor who has the same question again usually
# sends it on another day.
SAME_LEAD_SECONDS: Final = 600


def lead_key(
    acceptance: LeadAcceptance, site: str, submission: LeadSubmission, client_key: str | None
) -> str:
    """Return the idempotency key of a form's lead: a hash that covers the lead's content.

    Identical submissions with the same valid `client_key` are one lead. Without a valid `client_key`,
    identical submissions within ten minutes are one lead.

    Without a valid `client_key`, the key contains the current ten-minute period of the clock, which is the
    same in all replicas. If a new period begins between two submissions, they are one lead only if the same
    replica accepts both.
    """
    digest = body_sha256(submission)
    if client_key and (key := read_key(client_key)):
        return _form_key(key, digest)
    period = int(acceptance.now().timestamp()) // SAME_LEAD_SECONDS
    previous = _form_key(str(period - 1), digest)
    if acceptance.was_accepted(site, previous, SAME_LEAD_SECONDS):
        return previous
    return _form_key(str(period), digest)


def _form_key(key: str, digest: str) -> str:
    text = f"{key}\n{digest}"
    return f"form-{sha256(text.encode()).hexdigest()}"
