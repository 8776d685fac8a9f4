"""The header that a provider returns with its events."""

from dataclasses import replace
from datetime import UTC, datetime
from email import message_from_bytes
from uuid import uuid4

import pytest

from contracts.mail_events import mail_named_in
from services.notifier.mail.alert_digest import AlertDigest, compose_alert_digest
from services.notifier.mail.message import compose
from tests.support.factories import lead
from tests.support.services.notifier import IDENTITY


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("smtp.sendgrid.net", "X-SMTPAPI"),
        ("SMTP.postmarkapp.com.", "X-PM-Metadata-fastcore"),
        ("smtp.eu.mailgun.org", "X-Mailgun-Variables"),
    ],
)
def test_a_provider_gets_the_tag_of_the_email(host: str, name: str) -> None:
    one = lead(name="Ädä")
    mail = compose("admin_alert", one, replace(IDENTITY, smtp_host=host), datetime.now(UTC))
    headers = message_from_bytes(mail.content)
    assert mail_named_in(headers[name]) == (one.lead_id, "admin_alert")


def test_a_provider_gets_the_tag_of_a_digest() -> None:
    digest = AlertDigest(uuid4(), "shop", IDENTITY.admins, ())
    mail = compose_alert_digest(
        digest, replace(IDENTITY, smtp_host="smtp.postmarkapp.com"), datetime.now(UTC)
    )
    headers = message_from_bytes(mail.content)
    assert headers["X-PM-Metadata-fastcore"] == f"{digest.digest_id}.alert_digest"


@pytest.mark.parametrize(
    "host", ["", "email-smtp.eu-central-1.amazonaws.com", "sendgrid.net.example", "localhost"]
)
def test_no_other_server_gets_a_header(host: str) -> None:
    mail = compose("welcome", lead(), replace(IDENTITY, smtp_host=host), datetime.now(UTC))
    assert b"fastcore" not in mail.content.partition(b"\r\n\r\n")[0].replace(b"=_fastcore_", b"")
