"""A message for Discord."""

import re
from typing import Any, Final

from services.webhooks.messages.summary import summarize

# With the characters of links (`https:`), mentions (`<@1>`) and times (`<t:0>`).
_MARKDOWN: Final = re.compile(r"([\\*_~`|<>@:#\[\]()-])")


def discord_message(event: dict[str, Any], admin_url: str) -> dict[str, Any]:
    """Return the payload of a webhook: one embed. A visitor's text in it cannot mention a user or role."""
    summary = summarize(event, admin_url)
    embed: dict[str, Any] = {
        "title": _escape(summary.title)[:256],
        "description": _escape(summary.message)[:4096],
        "fields": [
            {"name": label, "value": _escape(value)[:1024], "inline": True} for label, value in summary.fields
        ],
    }
    if summary.link:
        embed["url"] = summary.link
    return {"embeds": [embed], "allowed_mentions": {"parse": []}}


def _escape(text: str) -> str:
    return _MARKDOWN.sub(r"\\\1", text)
