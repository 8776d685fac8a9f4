"""The header that makes a mail provider return the tag of an email with its events. No I/O.

SendGrid's complaints, and all events of Postmark, lack our Message-ID. Other servers get no such header.
"""

import json

_NAME = "fastcore"


def provider_headers(smtp_host: str, tag: str) -> dict[str, str]:
    """Return the headers for the provider to which the mail server belongs.

    `tag` is a result of `contracts.mail_events.mail_tag`.
    """
    host = smtp_host.lower().rstrip(".")
    if host.endswith(".sendgrid.net"):
        return {"X-SMTPAPI": json.dumps({"unique_args": {_NAME: tag}})}
    if host.endswith(".postmarkapp.com"):
        return {f"X-PM-Metadata-{_NAME}": tag}
    if host.endswith(".mailgun.org"):
        return {"X-Mailgun-Variables": json.dumps({_NAME: tag})}
    return {}
