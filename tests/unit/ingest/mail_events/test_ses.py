"""Notifications of Amazon SES over SNS: signatures, certificates and subscriptions."""

import json
from datetime import timedelta
from typing import Any

import httpx
import pytest

from services.ingest.mail_events.provider import (
    ForgedError,
    InvalidEventsError,
    Parsed,
    ProviderUnavailable,
)
from services.ingest.mail_events.ses import Ses
from services.ingest.mail_events.sns_certificates import SnsCertificates
from tests.support.mail.providers import (
    CERTIFICATE_URL,
    HOST,
    LEAD_ID,
    NOW,
    TOPIC,
    SnsSigner,
    header_of,
    payload,
)


@pytest.fixture
def signer() -> SnsSigner:
    return SnsSigner()


async def read(signer: SnsSigner, message: dict[str, Any], provider: Ses | None = None) -> Parsed:
    async with signer.client() as client:
        provider = provider or Ses([TOPIC], SnsCertificates(client))
        return await provider.read(header_of({}), json.dumps(message).encode(), NOW)


@pytest.mark.parametrize("version", ["1", "2"])
async def test_a_bounce_is_read_with_either_signature(signer: SnsSigner, version: str) -> None:
    (event,) = (await read(signer, signer.notification(payload("ses_bounce"), version))).events
    assert (event.type, event.kind, event.lead_id) == ("bounced", "welcome", LEAD_ID)
    assert (event.hard, event.code, event.enhanced) == (True, 550, "5.1.1")
    assert event.recipient == "gone@visitor.example"
    assert event.occurred_at.isoformat() == "2026-11-30T10:30:45+00:00"
    assert signer.requests == [CERTIFICATE_URL]


async def test_a_complaint_is_matched_by_the_original_headers(signer: SnsSigner) -> None:
    (event,) = (await read(signer, signer.notification(payload("ses_complaint")))).events
    assert (event.type, event.lead_id, event.recipient) == ("complained", LEAD_ID, "annoyed@visitor.example")


@pytest.mark.parametrize(
    ("message", "result"),
    [
        (payload("ses_transient"), "soft"),
        ("Successfully validated SNS topic for Amazon SES event publishing.", "ignored"),
        ('{"notificationType": "Delivery"}', "ignored"),
        ('{"eventType": "DeliveryDelay"}', "soft"),
        (payload("ses_complaint").replace(b'"abuse"', b'"not-spam"'), "ignored"),
        (payload("ses_bounce").replace(b"019b0c5e", b"xxxxxxxx"), "unmatched"),
    ],
)
async def test_other_notifications_are_only_counted(
    signer: SnsSigner, message: bytes | str, result: str
) -> None:
    parsed = await read(signer, signer.notification(message))
    assert (parsed.events, dict(parsed.results)) == ([], {result: 1})


@pytest.mark.parametrize(
    "changes",
    [
        {"Message": "{}"},
        {"TopicArn": "arn:aws:sns:eu-central-1:999999999999:bounces"},
        {"SignatureVersion": "3"},
        {"Signature": "!"},
        {"Signature": "AAAA"},
        {"Type": "Other"},
        {"Subject": None},
        {"SigningCertURL": CERTIFICATE_URL.replace("https:", "http:")},
        {"SigningCertURL": CERTIFICATE_URL.replace("eu-central-1", "us-east-1")},
        {"SigningCertURL": CERTIFICATE_URL.replace(".com/", ".com.attacker.example/")},
        {"SigningCertURL": CERTIFICATE_URL.replace("sns.", "user@sns.")},
        {"SigningCertURL": CERTIFICATE_URL.replace(".com/", ".com:8443/")},
        {"SigningCertURL": CERTIFICATE_URL.replace("SimpleNotificationService", "../x")},
        {"SigningCertURL": f"{CERTIFICATE_URL}?x=1"},
        {"SigningCertURL": f"{CERTIFICATE_URL}#x"},
        {"SigningCertURL": "https://[::1"},
        {"SigningCertURL": "https://169.254.169.254/SimpleNotificationService-0123456789abcdef.pem"},
    ],
)
async def test_a_forged_message_is_refused_and_requests_nothing_else(
    signer: SnsSigner, changes: dict[str, Any]
) -> None:
    with pytest.raises(ForgedError):
        await read(signer, signer.notification(payload("ses_bounce"), "2", **changes))
    assert set(signer.requests) <= {CERTIFICATE_URL}


async def test_a_validly_signed_message_of_another_topic_is_refused(signer: SnsSigner) -> None:
    # Anybody with an AWS account can make Amazon SNS sign.
    other = TOPIC.replace("123456789012", "999999999999")
    with pytest.raises(ForgedError):
        await read(signer, signer.notification(payload("ses_bounce"), topic=other))
    assert signer.requests == []


async def test_a_message_of_another_key_is_refused(signer: SnsSigner) -> None:
    with pytest.raises(ForgedError):
        await read(signer, SnsSigner().notification(payload("ses_bounce")))


async def test_an_expired_certificate_is_refused() -> None:
    expired = SnsSigner(valid_for=timedelta(days=1))
    with pytest.raises(ForgedError):
        await read(expired, expired.notification(payload("ses_bounce")))


async def test_a_certificate_is_requested_once(signer: SnsSigner) -> None:
    async with signer.client() as client:
        provider = Ses([TOPIC], SnsCertificates(client))
        for _ in range(3):
            await read(signer, signer.notification(payload("ses_bounce")), provider)
    assert signer.requests == [CERTIFICATE_URL]


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (httpx.Response(503), ProviderUnavailable),
        (httpx.Response(302, headers={"Location": "http://169.254.169.254/"}), ForgedError),
        (httpx.Response(404), ForgedError),
        (httpx.Response(200, content=b"no certificate"), ForgedError),
        (httpx.Response(200, content=b"x" * 70_000), ForgedError),
    ],
)
async def test_what_is_no_certificate_is_not_accepted(
    signer: SnsSigner, answer: httpx.Response, error: type[Exception]
) -> None:
    signer.answer = answer
    with pytest.raises(error):
        await read(signer, signer.notification(payload("ses_bounce")))
    assert signer.requests == [CERTIFICATE_URL]


async def test_a_subscription_is_confirmed_and_its_end_is_accepted(signer: SnsSigner) -> None:
    await read(signer, signer.subscription())
    assert signer.requests[1:] == [f"{HOST}/?Action=ConfirmSubscription&TopicArn={TOPIC}&Token=2336412f37"]
    await read(signer, signer.subscription(kind="UnsubscribeConfirmation"))
    assert len(signer.requests) == 3  # the certificate only


@pytest.mark.parametrize(
    "url",
    [
        f"http://sns.eu-central-1.amazonaws.com/?Action=ConfirmSubscription&TopicArn={TOPIC}",
        f"https://attacker.example/?Action=ConfirmSubscription&TopicArn={TOPIC}",
        f"{HOST}/?Action=DeleteTopic&TopicArn={TOPIC}",
        f"{HOST}/?Action=ConfirmSubscription&TopicArn={TOPIC}2",
    ],
)
async def test_no_other_url_confirms_a_subscription(signer: SnsSigner, url: str) -> None:
    with pytest.raises(ForgedError):
        await read(signer, signer.subscription(url))
    assert signer.requests == [CERTIFICATE_URL]


async def test_a_topic_that_is_not_in_the_settings_is_refused_by_its_header(signer: SnsSigner) -> None:
    async with signer.client() as client:
        provider = Ses([TOPIC], SnsCertificates(client))
        provider.check_headers(header_of({"x-amz-sns-topic-arn": TOPIC}))
        with pytest.raises(ForgedError):
            provider.check_headers(header_of({"x-amz-sns-topic-arn": f"{TOPIC}2"}))
        for body in (b"[]", b"{", b"\xff"):
            with pytest.raises(InvalidEventsError):
                await provider.read(header_of({}), body, NOW)
