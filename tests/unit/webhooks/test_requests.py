"""The request of a delivery for each kind of destination."""

import base64
import json
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from contracts.lead_events import LeadEvent
from runtime.sites.destinations import Destination
from runtime.sites.secrets import ResolvedDestination
from services.webhooks.body_template import BodyTemplateError
from services.webhooks.client import Request
from services.webhooks.requests import build_request
from tests.support.factories import lead

SECRETS = tuple("whsec_" + base64.b64encode(bytes([number]) * 32).decode() for number in (1, 2, 3))
NOW = datetime.now(UTC)  # of the current test: a receiver accepts a signature for five minutes
URL = "https://crm.example.com/hook"


def resolved(kind: str, headers: dict[str, str] | None = None, **settings: Any) -> ResolvedDestination:
    secrets = SECRETS[: len(settings.get("secret", ()))]
    destination = Destination.model_validate({"name": "x", "kind": kind, "url": URL, **settings})
    return ResolvedDestination(destination, URL, secrets, headers or {})


def request_of(destination: ResolvedDestination, body: str) -> Request:
    request = build_request(destination, "evt-1", body, NOW, "https://example.com/admin")
    assert request is not None
    return request


@pytest.fixture(autouse=True)
def now(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "NOW", datetime.now(UTC))


@pytest.fixture
def body() -> str:
    return LeadEvent.received(lead(name="Zoë 名"), "Shop").model_dump_json()


@pytest.fixture
def erasure() -> str:
    data = {"id": str(uuid4()), "reference": "1a2b3c07", "site": "shop"}
    return json.dumps({"type": "lead.erased", "timestamp": NOW.isoformat(), "data": data})


def test_a_webhook_is_the_event_itself_signed(body: str) -> None:
    request = request_of(resolved("webhook", secret=("env:A",)), body)
    assert (request.method, request.url, request.body) == ("POST", URL, body.encode())
    assert request.headers["Content-Type"] == "application/json"
    assert request.headers["webhook-id"] == "evt-1"
    assert request.headers["webhook-timestamp"] == str(int(NOW.timestamp()))
    assert Webhook(SECRETS[0]).verify(request.body, dict(request.headers)) == json.loads(body)


def test_during_a_rotation_both_secrets_verify_and_no_other(body: str) -> None:
    request = request_of(resolved("webhook", secret=("env:NEW", "env:OLD")), body)
    for secret in SECRETS[:2]:
        Webhook(secret).verify(request.body, dict(request.headers))
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRETS[2]).verify(request.body, dict(request.headers))


def test_a_changed_body_does_not_verify(body: str) -> None:
    request = request_of(resolved("webhook", secret=("env:A",)), body)
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRETS[0]).verify(request.body + b" ", dict(request.headers))


@pytest.mark.parametrize(
    ("kind", "key"), [("slack", "blocks"), ("teams", "attachments"), ("discord", "embeds")]
)
def test_a_chat_gets_its_own_format_unsigned(kind: str, key: str, body: str, erasure: str) -> None:
    for event in (body, erasure):
        request = request_of(resolved(kind), event)
        assert request.headers == {"Content-Type": "application/json"}
        assert json.loads(request.body)[key]


def test_an_http_api_gets_its_template_method_and_headers(body: str) -> None:
    destination = resolved(
        "http",
        {"Authorization": "Bearer s3cret"},
        method="PUT",
        content_type="text/plain",
        body="{{ lead.name }} {{ event_id }}",
        allow_private=True,
    )
    request = request_of(destination, body)
    assert (request.method, request.allow_private) == ("PUT", True)
    assert request.body.decode() == "Zoë 名 evt-1"
    assert request.headers == {"Content-Type": "text/plain", "Authorization": "Bearer s3cret"}


def test_an_erasure_uses_its_own_template_or_sends_nothing(erasure: str) -> None:
    destination = resolved("http", body="{{ lead.name }}", erased_body="gone {{ lead.reference }}")
    assert request_of(destination, erasure).body == b"gone 1a2b3c07"
    silent = resolved("http", body="{{ lead.name }}")
    assert build_request(silent, "evt-1", erasure, NOW, "") is None


def test_a_template_that_fails_is_an_error_without_values(body: str) -> None:
    with pytest.raises(BodyTemplateError, match=r"^UndefinedError$"):
        request_of(resolved("http", body="{{ lead.nothing }}"), body)


@pytest.mark.parametrize("kind", ["webhook", "slack", "http"])
def test_only_a_destination_that_asks_for_the_trace_gets_it(body: str, kind: str) -> None:
    needed: dict[str, dict[str, Any]] = {"webhook": {"secret": ("env:A",)}, "http": {"body": "x"}}
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    for wanted, traceparent, sent in ((True, trace, trace), (True, None, None), (False, trace, None)):
        destination = resolved(kind, trace=wanted, **needed.get(kind, {}))
        request = build_request(destination, "evt-1", body, NOW, "", traceparent)
        assert request
        assert request.headers.get("traceparent") == sent
