"""A message for Microsoft Teams: an Adaptive Card, the format of Teams' workflow for incoming webhooks."""

import re
from typing import Any, Final

from services.webhooks.messages.summary import summarize

_MARKDOWN: Final = re.compile(r"([\\*_`\[\]()#-])")


def teams_message(event: dict[str, Any], admin_url: str) -> dict[str, Any]:
    """Return the payload of a Teams workflow."""
    summary = summarize(event, admin_url)
    body: list[dict[str, Any]] = [
        {
            "type": "TextBlock",
            "text": _escape(summary.title),
            "weight": "Bolder",
            "size": "Medium",
            "wrap": True,
        }
    ]
    if summary.fields:
        facts = [{"title": label, "value": _escape(value)} for label, value in summary.fields]
        body.append({"type": "FactSet", "facts": facts})
    if summary.message:
        # A card ends a paragraph at an empty line only.
        body.append(
            {"type": "TextBlock", "text": _escape(summary.message).replace("\n", "\n\n"), "wrap": True}
        )
    card: dict[str, Any] = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "body": body,
    }
    if summary.link:
        card["actions"] = [{"type": "Action.OpenUrl", "title": summary.link_text, "url": summary.link}]
    return {
        "type": "message",
        "attachments": [{"contentType": "application/vnd.microsoft.card.adaptive", "content": card}],
    }


def _escape(text: str) -> str:
    return _MARKDOWN.sub(r"\\\1", text)
