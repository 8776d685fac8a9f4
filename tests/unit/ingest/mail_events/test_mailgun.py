"""Mailgun's bounces and complaints, and their signature."""

import json
from datetime import timedelta
from typing import Any

import pytest

from services.ingest.mail_events.mailgun import Mailgun
from services.ingest.mail_events.provider import ForgedError, InvalidEventsError, Parsed
from tests.support.mail.providers import LEAD_ID, MAILGUN_KEY, NOW, header_of, mailgun_body, payload

NONE = header_of({})


async def read(name: str, provider: Mailgun | None = None, **changes: Any) -> Parsed:
    event = json.dumps(json.loads(payload(name)) | changes).encode()
    return await (provider or Mailgun(["older", MAILGUN_KEY])).read(NONE, mailgun_body(event), NOW)


async def test_a_bounce_and_a_complaint_are_read() -> None:
    (event,) = (await read("mailgun_bounce")).events
    assert (event.type, event.kind, event.lead_id) == ("bounced", "welcome", LEAD_ID)
    assert (event.hard, event.code, event.enhanced) == (True, 550, "5.1.1")
    (complaint,) = (await read("mailgun_complaint")).events
    assert (complaint.type, complaint.recipient) == ("complained", "annoyed@visitor.example")


@pytest.mark.parametrize(
    ("changes", "hard"),
    [
        ({"reason": "suppress-bounce", "delivery-status": {"code": 605}}, True),
        ({"delivery-status": {"code": 550, "message": "5.7.1 blocked"}}, False),
        ({"delivery-status": {"code": 550}}, True),
        ({"delivery-status": "odd"}, False),
        ({"event": "rejected", "reason": "policy", "delivery-status": {}}, False),
    ],
)
async def test_only_the_address_makes_a_bounce_hard(changes: dict[str, Any], hard: bool) -> None:
    (event,) = (await read("mailgun_bounce", **changes)).events
    assert event.hard is hard


@pytest.mark.parametrize(
    ("changes", "result"),
    [
        ({"severity": "temporary"}, "soft"),
        ({"event": "opened"}, "ignored"),
        ({"message": None}, "unmatched"),
    ],
)
async def test_other_events_are_only_counted(changes: dict[str, Any], result: str) -> None:
    parsed = await read("mailgun_bounce", **changes)
    assert (parsed.events, dict(parsed.results)) == ([], {result: 1})


async def test_a_token_serves_one_event_only() -> None:
    provider = Mailgun([MAILGUN_KEY])
    await read("mailgun_bounce", provider)
    await read("mailgun_bounce", provider)  # Mailgun repeats a request
    with pytest.raises(ForgedError):
        await read("mailgun_bounce", provider, recipient="other@visitor.example")


async def test_a_wrong_or_old_signature_is_refused() -> None:
    provider, event = Mailgun([MAILGUN_KEY]), payload("mailgun_bounce")
    signed = json.loads(mailgun_body(event))
    for changes in ({"timestamp": "1"}, {"token": "x"}, {"token": ""}, {"signature": ""}, {"signature": "ä"}):
        body = json.dumps(signed | {"signature": signed["signature"] | changes}).encode()
        with pytest.raises(ForgedError):
            await provider.read(NONE, body, NOW)
    for forged in (
        mailgun_body(event, key="another"),
        mailgun_body(event, at=NOW - timedelta(hours=26)),
        mailgun_body(event, at=NOW + timedelta(minutes=6)),
    ):
        with pytest.raises(ForgedError):
            await provider.read(NONE, forged, NOW)


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"signature": 1}', b"\xff\xfe"])
async def test_a_body_of_another_shape_is_invalid(body: bytes) -> None:
    with pytest.raises(InvalidEventsError):
        await Mailgun([MAILGUN_KEY]).read(NONE, body, NOW)
