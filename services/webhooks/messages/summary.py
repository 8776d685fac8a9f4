"""The content of a chat message about an event, without the markup of a specific chat service."""

from typing import Any, Final, NamedTuple
from urllib.parse import urlencode

MESSAGE_MAX: Final = 1500
FIELD_MAX: Final = 200
# Of leads in one message.
REFERENCES_MAX: Final = 5
# As on the dashboard.
STATUS_NAMES: Final = {
    "received": "New",
    "processing": "In progress",
    "contacted": "Contacted",
    "won": "Won",
    "lost": "Lost",
    "held": "Held",
    "spam": "Spam",
}


class Summary(NamedTuple):
    """A title, the fields that are not empty, the visitor's message, and a link to the lead, if any."""

    title: str
    fields: list[tuple[str, str]]
    message: str
    link: str
    link_text: str = "Open the lead"


def summarize(event: dict[str, Any], admin_url: str) -> Summary:
    """Return the summary of an event's JSON. Long values are cut: chat services refuse long messages."""
    if event["type"] == "lead.alert_failed":
        return _failed_alerts(event["data"], admin_url.rstrip("/"))
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
    title = _title(event["type"], lead, _cut(who, FIELD_MAX))
    return Summary(title, fields, _cut(lead["message"], MESSAGE_MAX), link)


def _failed_alerts(data: dict[str, Any], admin_url: str) -> Summary:
    """Return the summary of failed notifications. It names no person, and at most `REFERENCES_MAX` leads."""
    count, leads = data["count"], data["leads"]
    what = "the email about 1 new lead" if count == 1 else f"the emails about {count} new leads"
    references = ", ".join(lead["reference"] for lead in leads[:REFERENCES_MAX])
    if count > REFERENCES_MAX:
        references += f" and {count - REFERENCES_MAX} more"
    fields = [("Site", _cut(data["site_name"], FIELD_MAX)), ("Reference", references)]
    if data["reason"]:
        fields.append(("The mail servers say", _cut(data["reason"], FIELD_MAX)))
    path = f"/ui/leads/{leads[0]['id']}" if count == 1 else f"/ui/leads?{urlencode({'site': data['site']})}"
    return Summary(
        f"Nobody received {what}",
        fields,
        "The team's emails do not arrive. Answer the leads from the dashboard.",
        f"{admin_url}{path}" if admin_url else "",
        "Open the lead" if count == 1 else "Open the leads",
    )


def _title(event_type: str, lead: dict[str, Any], who: str) -> str:
    if event_type == "lead.test":
        return "Test from FASTCore"
    if event_type == "lead.updated":
        return f"Lead from {who} was edited: {', '.join(lead['changed']).replace('_', ' ')}"
    if event_type == "lead.status_changed":
        before, after = (STATUS_NAMES[lead[each]] for each in ("from_status", "to_status"))
        return f"Lead from {who}: {before} → {after}"
    return f"New lead from {who}"


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"
