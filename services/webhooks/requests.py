"""Builds the request of a delivery, for each kind of destination. No I/O, no clock."""

import json
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final

from standardwebhooks import Webhook

from contracts.headers import TRACEPARENT
from contracts.lead_events import ERASED
from runtime.sites.secrets import ResolvedDestination
from services.webhooks.body_template import render_body
from services.webhooks.client import Request
from services.webhooks.messages.discord import discord_message
from services.webhooks.messages.slack import slack_message
from services.webhooks.messages.teams import teams_message

_JSON: Final = {"Content-Type": "application/json"}
_MESSAGES: Final[Mapping[str, Callable[[dict[str, Any], str], dict[str, Any]]]] = {
    "slack": slack_message,
    "teams": teams_message,
    "discord": discord_message,
}


def build_request(
    destination: ResolvedDestination,
    event_id: str,
    body: str,
    now: datetime,
    admin_url: str,
    traceparent: str | None = None,
) -> Request | None:
    """Return the request that sends an event to a destination.

    Returns None if the event is an erasure and the destination has no template for it. Raises
    `BodyTemplateError` if a template fails.

    `body` is the event's JSON text. `now` has the time zone UTC. `traceparent` is sent if the destination's
    `trace` is true. Each attempt to call a webhook has a new signature, because the signature contains the
    time (Standard Webhooks 1.0). The webhook's id and content stay the same.
    """
    settings = destination.settings
    headers, content = dict(_JSON), body
    if settings.kind == "webhook":
        signatures = [Webhook(secret).sign(event_id, now, body) for secret in destination.secrets]
        headers |= {
            "webhook-id": event_id,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": " ".join(signatures),
        }
    elif settings.kind == "http":
        headers = {"Content-Type": settings.content_type, **destination.headers}
        event = json.loads(body)
        template = settings.erased_body if event["type"] == ERASED else settings.body
        if not template:
            return None
        content = render_body(template, event, event_id)
    else:
        content = json.dumps(_MESSAGES[settings.kind](json.loads(body), admin_url))
    if settings.trace and traceparent:
        headers[TRACEPARENT] = traceparent
    return Request(
        settings.method,
        destination.url,
        headers,
        content.encode(),
        settings.allow_private,
        settings.expect,
    )
