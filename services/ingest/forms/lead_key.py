"""The idempotency key of a form's lead."""

from hashlib import sha256
from typing import Final

from contracts.forgiving import read_key
from contracts.leads import LeadSubmission
from services.ingest.lead_acceptance import LeadAcceptance
from services.ingest.lead_record import body_sha256

# A second click and a reload come within seconds, a visitor with the same question again rather the next day.
SAME_LEAD_SECONDS: Final = 600


def lead_key(acceptance: LeadAcceptance, site: str, submission: LeadSubmission, given: str | None) -> str:
    """Return the key that a lead has in this site. It contains the digest of the lead.

    With a `given` key, the same lead under it is one lead. Without one, the same lead within ten minutes is
    one lead. All replicas count the same ten minutes, so a repetition across their end is only recognized by
    the gateway that has accepted the lead.
    """
    digest = body_sha256(submission)
    if given and (key := read_key(given)):
        return _form_key(key, digest)
    period = int(acceptance.now().timestamp()) // SAME_LEAD_SECONDS
    previous = _form_key(str(period - 1), digest)
    if acceptance.was_accepted(site, previous, SAME_LEAD_SECONDS):
        return previous
    return _form_key(str(period), digest)


def _form_key(key: str, digest: str) -> str:
    text = f"{key}\n{digest}"
    return f"form-{sha256(text.encode()).hexdigest()}"
