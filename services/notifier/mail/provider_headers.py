"""The header by which a mail provider returns the tag of an email with its events. No I/O.

SendGrid's complaints, and all events of Postmark, lack our Message-ID. Other servers get no such header.
"""

import json

from contracts.leads import LeadReceived
from contracts.mail_events import mail_tag

_NAME = "fastcore"


def provider_headers(smtp_host: str, lead: LeadReceived, kind: str) -> dict[str, str]:
    """Return the headers for the provider to which the mail server belongs."""
    host, tag = smtp_host.lower().rstrip("."), mail_tag(lead.lead_id, kind)
    if host.endswith(".sendgrid.net"):
        return {"X-SMTPAPI": json.dumps({"unique_args": {_NAME: tag}})}
    if host.endswith(".postmarkapp.com"):
        return {f"X-PM-Metadata-{_NAME}": tag}
    if host.endswith(".mailgun.org"):
        return {"X-Mailgun-Variables": json.dumps({_NAME: tag})}
    return {}
