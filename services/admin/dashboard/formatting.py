"""Texts that the pages show for events, kinds, stages, states, times, durations and numbers. No I/O."""

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final, LiteralString

from markupsafe import Markup

from services.admin.rules.lead_rules import STATUS_NAMES, lead_title
from services.admin.rules.reasons import explain, spam_word

EVENTS: Final = {
    "lead.received": "Lead received",
    "lead.rejected": "Request rejected",
    "lead.conflict": "Duplicate request quarantined",
    "lead.parked": "Delivery failed",
    "lead.dead": "Delivery failed permanently",
    "lead.replayed": "Delivery retried",
    "lead.archived": "Delivery archived",
    "lead.status_changed": "Status changed",
    "lead.edited": "Lead edited",
    "lead.note_added": "Note added",
    "lead.note_edited": "Note edited",
    "lead.note_deleted": "Note deleted",
    "lead.exported": "Data exported",
    "lead.erased": "Personal data deleted",
    "bulk.started": "Action on many leads started",
    "bulk.cancelled": "Action on many leads cancelled",
    "email.sent": "Email sent",
    "email.failed": "Email failed",
    "email.unknown": "Email outcome unknown",
    "email.suppressed": "Email suppressed",
    "queue.flushed": "All pending deliveries retried",
    "queue.cleared": "All pending deliveries archived",
    "queue.replayed": "Manual retry started",
    "queue.replay_cancelled": "Manual retry cancelled",
    "stage.resumed": "Processing resumed",
    "incident.acknowledged": "Incident acknowledged",
    "incident.resolved": "Incident resolved",
    "view.saved": "View saved",
    "view.renamed": "View renamed",
    "view.edited": "View edited",
    "view.deleted": "View deleted",
    "delivery.dead": "Delivery to a destination failed",
    "destination.disabled": "Destination disabled",
    "destination.enabled": "Destination enabled",
    "destination.tested": "Test event sent to a destination",
    "destination.retried": "Failed deliveries of a destination retried",
    "site_queue.pulled": "Website queue imported",
}
KINDS: Final = {
    "welcome": "Confirmation email",
    "admin_alert": "Team notification",
    "store": "Lead storage",
    "audit": "Audit entry",
    "event": "Event for destinations",
    "pull": "Website import",
}
STAGES: Final = {
    "ingest": "Lead intake",
    "persister": "Storage",
    "notifier": "Email",
    "webhooks": "Destinations",
    "site": "Website queues",
    "flusher": "Retries",
}
# States of leads, emails, queue rows, replays and components. A state that is missing here is capitalised.
STATES: Final = {
    **STATUS_NAMES,
    "up": "Operational",
    "down": "Unavailable",
    "waiting": "Pending",
    "reserved": "Preparing",
    "replaying": "Retrying",
    "dead": "Failed",
}
JOBS: Final = {
    "replay_queue": ("Automatic retries", "Retries failed deliveries when they are due."),
    "site_queue": ("Website imports", "Imports leads that websites queued while FASTCore was unreachable."),
    "retention": ("Data retention", "Deletes personal data that is older than the retention settings allow."),
    "lead_summary": ("Lead statistics", "Counts the leads of past days for the overview."),
    "statistics": ("Database statistics", "Removes deleted values from the database's statistics."),
}
_EVERY_MINUTES: Final = re.compile(r"\*/(\d+) \* \* \* \*$")
_DAILY: Final = re.compile(r"(\d{1,2}) (\d{1,2}) \* \* \*$")
# The order in which marketing tools show a campaign. JSON in PostgreSQL keeps no order.
CAMPAIGN_FIELDS: Final = ("utm_source", "utm_medium", "utm_campaign", "utm_term", "utm_content", "utm_id")
FIRST_VISIT: Final = "first_"
NO_VALUE: Final = "\N{EN DASH}"
STATUSES: Final = ("received", "processing", "contacted", "won", "lost", "held", "spam")
# The CSS class of each state's and event's badge. A state that is missing here is grey.
BADGE_STYLES: Final = {
    "received": "blue", "processing": "amber", "contacted": "violet", "won": "good", "lost": "grey",
    "held": "amber", "spam": "bad", "erased": "grey",
    "sent": "good", "waiting": "amber", "reserved": "blue", "sending": "blue", "dead": "bad",
    "unknown": "amber", "suppressed": "grey", "replaying": "blue", "resolved": "good", "archived": "grey",
    "succeeded": "good", "failed": "bad", "running": "blue",
    "finished": "good", "cancelled": "grey", "queued": "grey", "skipped": "grey",
    "up": "good", "down": "bad", "good": "good", "bad": "bad", "wait": "amber", "neutral": "violet",
    "lead.received": "blue", "lead.rejected": "bad", "lead.conflict": "amber", "lead.parked": "amber",
    "lead.dead": "bad", "lead.replayed": "blue", "lead.archived": "grey", "lead.status_changed": "violet",
    "lead.edited": "violet", "lead.note_added": "violet", "lead.note_edited": "violet",
    "lead.note_deleted": "violet", "lead.exported": "violet", "lead.erased": "bad", "email.sent": "good",
    "email.failed": "bad", "email.unknown": "amber", "email.suppressed": "grey", "queue.flushed": "violet",
    "bulk.started": "violet", "bulk.cancelled": "violet", "queue.cleared": "violet",
    "queue.replayed": "violet", "queue.replay_cancelled": "violet",
    "stage.resumed": "violet", "incident.acknowledged": "violet", "incident.resolved": "violet",
    "delivery.dead": "bad", "destination.disabled": "amber", "destination.enabled": "violet",
    "destination.tested": "violet", "destination.retried": "violet",
    "view.saved": "violet", "view.renamed": "violet", "view.edited": "violet", "view.deleted": "violet",
    "site_queue.pulled": "blue",
}  # fmt: skip


def time_tag(time: datetime | None) -> Markup:
    """Return a `<time>` element in UTC, which locale.js converts to the viewer's time zone."""
    return _time_element(time, '<time datetime="{}">{}</time>')


def ago_tag(time: datetime | None) -> Markup:
    """Return a `<time>` element that locale.js shows as `5 min ago`. Use it where the age is what matters."""
    return _time_element(time, '<time datetime="{}" data-relative>{}</time>')


def _time_element(time: datetime | None, element: LiteralString) -> Markup:
    if time is None:
        return Markup('<span class="none">Never</span>')
    utc = time.astimezone(UTC)
    template = Markup(element)  # noqa: S704 - one of the literals of the two functions above
    return template.format(utc.isoformat(timespec="milliseconds"), f"{utc:%Y-%m-%d %H:%M} UTC")


def duration(seconds: float | None) -> str:
    """Return a duration in its two largest units, such as `2 h 5 min`."""
    if seconds is None:
        return NO_VALUE
    if seconds < 1:
        return f"{max(0, round(seconds * 1000))} ms"
    if seconds < 10:
        return f"{seconds:.1f} s".replace(".0 s", " s")
    whole = int(seconds)
    for size, unit, smaller_size, smaller_unit in (
        (86400, "d", 3600, "h"),
        (3600, "h", 60, "min"),
        (60, "min", 1, "s"),
    ):
        if whole >= size:
            rest = whole % size // smaller_size
            return f"{whole // size} {unit}" + (f" {rest} {smaller_unit}" if rest else "")
    return f"{whole} s"


def number(value: float | None) -> str:
    """Return a number with thin spaces as thousands separators."""
    return NO_VALUE if value is None else f"{value:,}".replace(",", "\u2009")


def plural(count: int, singular: str, plural_form: str = "") -> str:
    """Return a count and its noun, such as `3 leads`. `plural_form` is by default `singular` and "s"."""
    return f"{number(count)} {singular if count == 1 else plural_form or singular + 's'}"


def event_name(event: str) -> str:
    """Return the name that pages show for an audit event."""
    return EVENTS.get(event, event.replace(".", " ").replace("_", " ").capitalize())


def kind_name(kind: object) -> str:
    """Return the name that pages show for a kind of delivery."""
    kind = str(kind)
    return KINDS.get(kind, kind.replace("_", " ").capitalize())


def stage_name(stage: object) -> str:
    """Return the name that pages show for a stage or service: what it does, such as `Storage`."""
    return STAGES.get(str(stage), field_label(str(stage)))


def job_name(job: str) -> str:
    """Return the name that pages show for a scheduled job."""
    return JOBS[job][0] if job in JOBS else field_label(job)


def job_description(job: str) -> str:
    """Return what a scheduled job does, or an empty text for an unknown job."""
    return JOBS[job][1] if job in JOBS else ""


def schedule_name(cron: str) -> str:
    """Return a cron schedule in words if it runs every few minutes or daily, else the schedule unchanged."""
    if every := _EVERY_MINUTES.match(cron):
        return f"Every {plural(int(every[1]), 'minute')}"
    if daily := _DAILY.match(cron):
        return f"Every day at {int(daily[2]):02}:{int(daily[1]):02} UTC"
    return cron


def state_name(state: object) -> str:
    """Return the name that pages show for the state of a lead, email, queue row, replay or component."""
    return STATES.get(str(state), str(state).capitalize())


def reason_text(reason: str) -> str:
    """Return the explanation of a failure's reason, or the reason itself if it has no explanation."""
    text = explain(reason)
    return text[0].upper() + text[1:] if text else reason


def badge_style(name: str) -> str:
    """Return the CSS class of the badge for a state or an audit event."""
    return BADGE_STYLES.get(name, "grey")


def _detail_text(name: str, value: Any) -> str:
    if name == "kind":
        return kind_name(value)
    if name in ("from", "to", "state"):
        return state_name(value)
    return ", ".join(map(json_text, value)) if isinstance(value, list) else json_text(value)


def json_text(value: Any) -> str:
    """Return a JSON value as text for a page. For example, true becomes `yes`."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "yes" if value else "no"
    return json.dumps(value, ensure_ascii=False)


def detail_pairs(details: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the details of an audit event or a job as pairs of label and text, without empty values."""
    return [
        (field_label(name), _detail_text(name, value))
        for name, value in details.items()
        if value not in (None, "", [], {})
    ]


def address_text(address: str) -> Markup:
    """Return an email address as HTML. A line may break only before its domain."""
    return Markup("<wbr>@").join(address.split("@"))


def source_items(source: Mapping[str, Any] | None) -> list[tuple[str, Any]]:
    """Return a lead's source (its marketing campaigns) as pairs of name and value.

    The fields of the last campaign come first. Those of the first campaign come last.
    """
    source = source or {}
    names = [name for name in CAMPAIGN_FIELDS if name in source]
    names += [name for name in source if not name.startswith(FIRST_VISIT)]
    names += [FIRST_VISIT + name for name in CAMPAIGN_FIELDS if FIRST_VISIT + name in source]
    return [(name, source[name]) for name in dict.fromkeys([*names, *source])]


def source_label(name: str) -> str:
    """Return the label of a field of a lead's source, such as `First visit: campaign`."""
    if not name.startswith(FIRST_VISIT):
        return field_label(name)
    label = field_label(name.removeprefix(FIRST_VISIT).removeprefix("utm_"))
    return f"First visit: {label if label.isupper() else label[:1].lower() + label[1:]}"


def field_label(name: str) -> str:
    """Return the label that pages show for a field of a lead."""
    label = name.replace("_", " ").capitalize().replace("Utm", "UTM")
    return re.sub(r"\b(id|url|smtp)\b", lambda word: word[0].upper(), label, flags=re.IGNORECASE)


FILTERS: Final = {
    "time_tag": time_tag,
    "ago_tag": ago_tag,
    "duration": duration,
    "number": number,
    "event_name": event_name,
    "kind_name": kind_name,
    "stage_name": stage_name,
    "job_name": job_name,
    "job_description": job_description,
    "schedule_name": schedule_name,
    "state_name": state_name,
    "spam_word": spam_word,
    "reason_text": reason_text,
    "badge_style": badge_style,
    "detail_pairs": detail_pairs,
    "field_label": field_label,
    "json_text": json_text,
    "source_items": source_items,
    "source_label": source_label,
    "address_text": address_text,
    "lead_title": lead_title,
}
GLOBALS: Final = {"STATUSES": STATUSES, "EVENTS": EVENTS, "plural": plural}
