"""Postmark's bounces and complaints, and its secret."""

import base64
import json
from typing import Any

import pytest

from services.ingest.mail_events.postmark import Postmark
from services.ingest.mail_events.provider import ForgedError, InvalidEventsError, Parsed
from tests.support.mail.providers import LEAD_ID, NOW, header_of, payload

SECRET = "the-secret-of-postmark-1234567890"


def basic(credentials: str) -> str:
    return f"Basic {base64.b64encode(credentials.encode()).decode()}"


async def read(name: str, **changes: Any) -> Parsed:
    body = json.dumps(json.loads(payload(name)) | changes).encode()
    headers = header_of({"Authorization": f"Bearer {SECRET}"})
    return await Postmark(["another", SECRET]).read(headers, body, NOW)


async def test_a_bounce_is_matched_by_its_metadata() -> None:
    (event,) = (await read("postmark_bounce")).events
    assert (event.type, event.kind, event.lead_id) == ("bounced", "welcome", LEAD_ID)
    assert (event.hard, event.code, event.enhanced) == (True, 550, "5.1.1")
    assert (event.recipient, event.occurred_at.isoformat()) == (
        "gone@visitor.example", "2026-11-30T10:30:45.123456+00:00"
    )  # fmt: skip


async def test_a_complaint_is_matched_by_the_included_report() -> None:
    (event,) = (await read("postmark_complaint")).events
    assert (event.type, event.lead_id, event.hard) == ("complained", LEAD_ID, False)


@pytest.mark.parametrize(
    ("changes", "hard"),
    [
        ({"Type": "BadEmailAddress"}, True),
        ({"Details": ""}, True),
        ({"Details": "smtp;550 5.7.1 blocked"}, False),
        ({"Type": "Blocked"}, False),
        ({"Type": "DMARCPolicy"}, False),
    ],
)
async def test_only_the_address_makes_a_bounce_hard(changes: dict[str, str], hard: bool) -> None:
    (event,) = (await read("postmark_bounce", **changes)).events
    assert event.hard is hard


@pytest.mark.parametrize(
    ("changes", "result"),
    [
        ({"Type": "SoftBounce"}, "soft"),
        ({"Type": "Transient"}, "soft"),
        ({"Type": "AutoResponder"}, "ignored"),
        ({"RecordType": "Delivery"}, "ignored"),
        ({"Metadata": {}}, "unmatched"),
    ],
)
async def test_other_events_are_only_counted(changes: dict[str, Any], result: str) -> None:
    parsed = await read("postmark_bounce", **changes)
    assert (parsed.events, dict(parsed.results)) == ([], {result: 1})


@pytest.mark.parametrize("value", [f"Bearer {SECRET}", basic(f"any:{SECRET}"), basic(f":{SECRET}")])
def test_the_secret_is_a_password_or_a_bearer_token(value: str) -> None:
    Postmark([SECRET]).check_headers(header_of({"Authorization": value}))


@pytest.mark.parametrize(
    "value",
    [
        "",
        "Bearer",
        f"Bearer {SECRET}x",
        basic(SECRET),
        basic("a:b"),
        "Basic !",
        f"Digest {SECRET}",
        basic(f"a:{SECRET}").replace("Basic", "Other"),
        "\xff",
    ],
)
def test_any_other_authorization_is_refused(value: str) -> None:
    with pytest.raises(ForgedError):
        Postmark([SECRET]).check_headers(header_of({"Authorization": value}))
    with pytest.raises(ForgedError):
        Postmark([SECRET]).check_headers(header_of({}))


async def test_a_body_of_another_shape_is_invalid() -> None:
    headers = header_of({"Authorization": f"Bearer {SECRET}"})
    for body in (b"[]", b"{", b"null"):
        with pytest.raises(InvalidEventsError):
            await Postmark([SECRET]).read(headers, body, NOW)
