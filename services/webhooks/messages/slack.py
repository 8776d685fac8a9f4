"""A message for Slack."""

import re
from typing import Any, Final

from services.webhooks.messages.summary import summarize

SECTION_MAX: Final = 3000


def slack_message(event: dict[str, Any], admin_url: str) -> dict[str, Any]:
    """Return the payload of an incoming webhook (Block Kit). `text` is the text of the notification."""
    summary = summarize(event, admin_url)
    blocks: list[dict[str, Any]] = [_section(f"*{_escape(summary.title)}*")]
    if summary.fields:
        lines = [f"*{label}*\n{_escape(value)}" for label, value in summary.fields]
        blocks.append({"type": "section", "fields": [_text(line) for line in lines]})
    if summary.message:
        quoted = "\n".join(f">{line}" for line in _escape(summary.message).split("\n"))
        # A cut inside `&amp;` would show its beginning.
        blocks.append(_section(re.sub(r"&[a-z]*$", "", quoted[:SECTION_MAX])))
    if summary.link:
        blocks.append(_section(f"<{summary.link}|{summary.link_text}>"))
    return {"text": _escape(summary.title), "blocks": blocks, "unfurl_links": False, "unfurl_media": False}


def _section(text: str) -> dict[str, Any]:
    return {"type": "section", "text": _text(text)}


def _text(text: str) -> dict[str, Any]:
    # `verbatim`: Slack makes no link of a visitor's text, and `<!channel>` in it calls nobody.
    return {"type": "mrkdwn", "text": text, "verbatim": True}


def _escape(text: str) -> str:
    """Escape the three characters of Slack's control sequences."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
