"""The contracts of the chats."""

import re
from typing import Any, Final

from tests.support.web.destination_stubs.server import Answer, Call

_CARD: Final = "application/vnd.microsoft.card.adaptive"


def slack(call: Call) -> Answer:
    """Slack, "Sending messages using incoming webhooks", and the limits of Block Kit's section."""
    if call.path != "/services/T000/B000/key":
        return Answer(404, "no_service")
    message = call.json()
    if call.content_type != "application/json" or not isinstance(message, dict):
        return Answer(400, "invalid_payload")
    blocks = message.get("blocks", [])
    if not message.get("text") and not blocks:
        return Answer(400, "no_text")
    if len(blocks) > 50 or not all(_is_section(each) for each in blocks):
        return Answer(400, "invalid_blocks")
    return Answer(200, "ok", message)


def _is_section(block: Any) -> bool:
    text, fields = block.get("text"), block.get("fields")
    texts = [(text, 3000)] if text else []
    texts += [(each, 2000) for each in fields or []]
    return (
        block.get("type") == "section"
        and bool(texts)
        and len(fields or []) <= 10
        and all(
            each.get("type") in ("mrkdwn", "plain_text") and 1 <= len(each.get("text", "")) <= most
            for each, most in texts
        )
    )


def teams(call: Call) -> Answer:
    """Microsoft Teams, "Create incoming webhooks with Workflows": 28 KB, Adaptive Cards in attachments."""
    if not re.fullmatch(r"/workflows/[^/]+/triggers/manual/paths/invoke", call.path):
        return Answer(404, {"error": {"code": "WorkflowNotFound", "message": "The workflow was not found."}})
    if call.query.get("sig") != "of-the-tests":
        return Answer(401, {"error": {"code": "DirectApiAuthorizationRequired", "message": "The request"}})
    message = call.json()
    cards = message.get("attachments") if isinstance(message, dict) else None
    valid = (
        call.content_type == "application/json"
        and isinstance(message, dict)
        and message.get("type") == "message"
        and isinstance(cards, list)
        and cards
        and all(_is_card(each) for each in cards)
    )
    if not valid or len(call.text.encode()) > 28 * 1024:
        return Answer(400, {"error": {"code": "TriggerInputSchemaMismatch", "message": "The input body"}})
    return Answer(202, "", message)


def _is_card(attachment: Any) -> bool:
    card = attachment.get("content", {})
    return (
        attachment.get("contentType") == _CARD and card.get("type") == "AdaptiveCard" and bool(card["body"])
    )


def discord(call: Call) -> Answer:
    """Discord, "Execute Webhook", and the limits of embeds."""
    if not re.fullmatch(r"/api/webhooks/\d+/[\w-]+", call.path):
        return Answer(404, {"message": "404: Not Found", "code": 0})
    if not call.path.endswith("/token"):
        return Answer(401, {"message": "Invalid Webhook Token", "code": 50027})
    message = call.json()
    if call.content_type != "application/json" or not isinstance(message, dict):
        return Answer(400, {"message": "The request body contains invalid JSON.", "code": 50109})
    embeds = message.get("embeds", [])
    if not message.get("content") and not embeds:
        return Answer(400, {"message": "Cannot send an empty message", "code": 50006})
    if len(embeds) > 10 or not all(_is_embed(each) for each in embeds):
        return Answer(400, {"message": "Invalid Form Body", "code": 50035})
    return Answer(204, "", message)


def _is_embed(embed: Any) -> bool:
    fields = embed.get("fields", [])
    texts = [(embed.get("title", ""), 0, 256), (embed.get("description", ""), 0, 4096)]
    texts += [(each["name"], 1, 256) for each in fields] + [(each["value"], 1, 1024) for each in fields]
    fit = all(least <= len(text) <= most for text, least, most in texts)
    return fit and len(fields) <= 25 and sum(len(text) for text, _, _ in texts) <= 6000


def mattermost(call: Call) -> Answer:
    """Mattermost, "Incoming webhooks", and `HandleIncomingWebhook` in its source."""
    if call.path != "/hooks/key":
        return _mattermost_error("web.incoming_webhook.invalid.app_error", "Invalid webhook.")
    message = call.json()
    if call.content_type != "application/json" or not isinstance(message, dict):
        return _mattermost_error("web.incoming_webhook.decode.app_error", "Failed to decode the payload.")
    if not message.get("text") and not message.get("attachments"):
        return _mattermost_error("web.incoming_webhook.text.app_error", "No text specified.")
    return Answer(200, "ok", {"text": message.get("text"), "attachments": message.get("attachments")})


def _mattermost_error(name: str, message: str) -> Answer:
    return Answer(400, {"id": name, "message": message, "detailed_error": "", "status_code": 400})
