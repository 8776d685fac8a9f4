"""SendGrid's events and their signature."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from services.ingest.mail_events.provider import ForgedError, InvalidEventsError
from services.ingest.mail_events.sendgrid import SendGrid, load_public_key
from tests.support.mail.providers import LEAD_ID, NOW, SendGridSigner, header_of, payload

SIGNER = SendGridSigner()
BODY = payload("sendgrid")

# The test vector of SendGrid's own client libraries. The body ends with CR LF.
KEY = (
    "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE83T4O/n84iotIvIW4mdBgQ/7dAfSmpqIM8kF9mN1flpVKS3GRqe62gw+2fNNRaIN"
    "XvVpiglSI8eNEc6wEA3F+g=="
)
SIGNATURE = "MEUCIGHQVtGj+Y3LkG9fLcxf3qfI10QysgDWmMOVmxG0u6ZUAiEAyBiXDWzM+uOe5W0JuG+luQAbPIqHh89M15TluLtEZtM="
VECTOR = {
    "X-Twilio-Email-Event-Webhook-Signature": SIGNATURE,
    "X-Twilio-Email-Event-Webhook-Timestamp": "1600112502",
}
VECTOR_BODY = (
    b'[{"email":"hello@world.com","event":"dropped","reason":"Bounced Address",'
    b'"sg_event_id":"ZHJvcC0xMDk5NDkxOS1MUnpYbF9OSFN0T0doUTRrb2ZTbV9BLTA",'
    b'"sg_message_id":"LRzXl_NHStOGhQ4kofSm_A.filterdrecv-p3mdw1-756b745b58-kmzbl-18-5F5FC76C-9.0",'
    b'"smtp-id":"<LRzXl_NHStOGhQ4kofSm_A@ismtpd0039p1iad1.sendgrid.net>","timestamp":1600112492}]\r\n'
)


async def test_bounces_and_complaints_are_read() -> None:
    parsed = await SendGrid([SIGNER.public_key]).read(header_of(SIGNER.headers(BODY)), BODY, NOW)
    assert [(e.type, e.kind, e.hard, e.code, e.enhanced, e.recipient) for e in parsed.events] == [
        ("bounced", "welcome", True, 550, "5.1.1", "gone@visitor.example"),
        ("bounced", "welcome", False, 552, "5.2.2", "full@visitor.example"),
        ("bounced", "welcome", True, None, None, "gone@visitor.example"),
        ("complained", "admin_alert", False, None, None, "boss@fast.example"),
    ]
    assert {event.lead_id for event in parsed.events} == {LEAD_ID}
    assert parsed.events[0].occurred_at == datetime.fromtimestamp(1796034645, UTC)
    assert parsed.results == {"soft": 1, "ignored": 1, "unmatched": 1}
    again = await SendGrid([SIGNER.public_key]).read(header_of(SIGNER.headers(BODY)), BODY, NOW)
    assert [event.event_id for event in again.events] == [event.event_id for event in parsed.events]


async def test_the_vector_of_sendgrids_libraries_verifies() -> None:
    at = datetime.fromtimestamp(1600112502, UTC)
    parsed = await SendGrid([SIGNER.public_key, KEY]).read(header_of(VECTOR), VECTOR_BODY, at)
    assert parsed.results == {"unmatched": 1}
    with pytest.raises(ForgedError):
        await SendGrid([KEY]).read(header_of(VECTOR), VECTOR_BODY.strip(), at)


@pytest.mark.parametrize(
    "changes",
    [
        {"X-Twilio-Email-Event-Webhook-Signature": "!"},
        {"X-Twilio-Email-Event-Webhook-Signature": "AAAA"},
        {"X-Twilio-Email-Event-Webhook-Timestamp": "1796034999"},
    ],
)
async def test_a_forged_request_is_refused(changes: dict[str, str]) -> None:
    with pytest.raises(ForgedError):
        await SendGrid([SIGNER.public_key]).read(header_of(SIGNER.headers(BODY) | changes), BODY, NOW)


async def test_a_request_of_long_ago_is_refused() -> None:
    provider = SendGrid([SIGNER.public_key])
    for age in (timedelta(hours=26), timedelta(minutes=-6)):
        with pytest.raises(ForgedError):
            await provider.read(header_of(SIGNER.headers(BODY, NOW - age)), BODY, NOW)
    with pytest.raises(ForgedError):
        provider.check_headers(header_of({}))


@pytest.mark.parametrize("body", [b"{}", b"[7]", b"[", json.dumps({"event": "bounce"}).encode()])
async def test_a_signed_body_of_another_shape_is_invalid(body: bytes) -> None:
    with pytest.raises(InvalidEventsError):
        await SendGrid([SIGNER.public_key]).read(header_of(SIGNER.headers(body)), body, NOW)


@pytest.mark.parametrize("key", ["", "AAAA", "not base64"])
def test_a_wrong_public_key_is_a_mistake_in_the_settings(key: str) -> None:
    with pytest.raises(ValueError, match="key"):
        load_public_key(key)
