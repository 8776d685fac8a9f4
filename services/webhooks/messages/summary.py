"""What a chat message says about an event, before the markup of a chat."""

from typing import Any, Final, NamedTuple

MESSAGE_MAX: Final = 1500
FIELD_MAX: Final = 200


class Summary(NamedTuple):
    """A title, the fields that are filled, the visitor's message, and a link to the lead (or empty)."""

    title: str
    fields: list[tuple[str, str]]
    message: str
    link: str


def summarize(event: dict[str, Any], admin_url: str) -> Summary:
    """Return the summary of an event's JSON. Long values are cut, because chats refuse long messages."""
    lead = event["data"]
    link = f"{admin_url.rstrip('/')}/ui/leads/{lead['id']}" if admin_url else ""
    if event["type"] == "lead.erased":
        return Summary(f"Lead {lead['reference']} was erased", [], "", "")
    who = lead["name"] or lead["email"] or lead["phone"] or "somebody"
    named = {
        "Email": lead["email"],
        "Phone": lead["phone"],
        "Company": lead["company"],
        "Service": lead["service"],
        "Site": lead["site_name"],
        "Campaign": (lead["source"] or {}).get("utm_campaign"),
        "Reference": lead["reference"],
    }
    fields = [(label, _cut(value, FIELD_MAX)) for label, value in named.items() if value]
    title = "Test from FASTCore" if event["type"] == "lead.test" else f"New lead from {_cut(who, FIELD_MAX)}"
    return Summary(title, fields, _cut(lead["message"], MESSAGE_MAX), link)


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"
