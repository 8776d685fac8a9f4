"""Texts that the pages show for events, kinds, stages, states, times, durations and numbers. No I/O."""

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime, time
from typing import Any, Final, LiteralString

from babel.dates import format_time
from markupsafe import Markup

from contracts.answers import answer_parts
from services.admin.rules.lead_rules import STATUS_NAMES, lead_title
from services.admin.rules.reasons import concerns_address, explain, spam_word
from services.admin.texts import NO_VALUE, current_viewer, gettext, gettext_noop, ngettext, number, percent

EVENTS: Final = {
    "lead.received": gettext_noop("Lead received"),
    "lead.rejected": gettext_noop("Request rejected"),
    "lead.conflict": gettext_noop("Duplicate request quarantined"),
    "lead.parked": gettext_noop("Delivery failed"),
    "lead.dead": gettext_noop("Delivery failed permanently"),
    "lead.replayed": gettext_noop("Delivery retried"),
    "lead.archived": gettext_noop("Delivery archived"),
    "lead.status_changed": gettext_noop("Status changed"),
    "lead.edited": gettext_noop("Lead edited"),
    "lead.note_added": gettext_noop("Note added"),
    "lead.note_edited": gettext_noop("Note edited"),
    "lead.note_deleted": gettext_noop("Note deleted"),
    "lead.exported": gettext_noop("Data exported"),
    "lead.erased": gettext_noop("Personal data deleted"),
    "bulk.started": gettext_noop("Action on many leads started"),
    "bulk.cancelled": gettext_noop("Action on many leads cancelled"),
    "email.sent": gettext_noop("Email sent"),
    "email.failed": gettext_noop("Email failed"),
    "email.unknown": gettext_noop("Email outcome unknown"),
    "email.suppressed": gettext_noop("Email suppressed"),
    "queue.flushed": gettext_noop("All pending deliveries retried"),
    "queue.cleared": gettext_noop("All pending deliveries archived"),
    "queue.replayed": gettext_noop("Manual retry started"),
    "queue.replay_cancelled": gettext_noop("Manual retry cancelled"),
    "stage.resumed": gettext_noop("Processing resumed"),
    "incident.acknowledged": gettext_noop("Incident acknowledged"),
    "incident.resolved": gettext_noop("Incident resolved"),
    "view.saved": gettext_noop("View saved"),
    "view.renamed": gettext_noop("View renamed"),
    "view.edited": gettext_noop("View edited"),
    "view.deleted": gettext_noop("View deleted"),
    "delivery.dead": gettext_noop("Delivery to a destination failed"),
    "destination.disabled": gettext_noop("Destination disabled"),
    "destination.enabled": gettext_noop("Destination enabled"),
    "destination.tested": gettext_noop("Test event sent to a destination"),
    "destination.retried": gettext_noop("Failed deliveries of a destination retried"),
    "site_queue.pulled": gettext_noop("Website queue imported"),
}
KINDS: Final = {
    "welcome": gettext_noop("Confirmation email"),
    "admin_alert": gettext_noop("Team notification"),
    "store": gettext_noop("Lead storage"),
    "audit": gettext_noop("Audit entry"),
    "event": gettext_noop("Event for destinations"),
    "pull": gettext_noop("Lead from a website"),
}
STAGES: Final = {
    "ingest": gettext_noop("Lead intake"),
    "persister": gettext_noop("Storage"),
    "notifier": gettext_noop("Email"),
    "webhooks": gettext_noop("Destinations"),
    "site": gettext_noop("Website queues"),
    "flusher": gettext_noop("Retries"),
}
# States of leads, emails, queue rows, replays and components. A state that is missing here is capitalised.
STATES: Final = {
    **STATUS_NAMES,
    "up": gettext_noop("Operational"),
    "down": gettext_noop("Unavailable"),
    "waiting": gettext_noop("Pending"),
    "reserved": gettext_noop("Preparing"),
    "replaying": gettext_noop("Retrying"),
    "dead": gettext_noop("Failed"),
    "sent": gettext_noop("Sent"),
    "sending": gettext_noop("Sending"),
    "unknown": gettext_noop("Unknown"),
    "suppressed": gettext_noop("Suppressed"),
    "resolved": gettext_noop("Resolved"),
    "archived": gettext_noop("Archived"),
    "succeeded": gettext_noop("Succeeded"),
    "failed": gettext_noop("Failed"),
    "running": gettext_noop("Running"),
    "finished": gettext_noop("Finished"),
    "cancelled": gettext_noop("Cancelled"),
    "queued": gettext_noop("Queued"),
    "skipped": gettext_noop("Skipped"),
}
JOBS: Final = {
    "replay_queue": (
        gettext_noop("Automatic retries"),
        gettext_noop("Retries failed deliveries when they are due."),
    ),
    "site_queue": (
        gettext_noop("Website imports"),
        gettext_noop("Imports leads that websites queued while FASTCore was unreachable."),
    ),
    "retention": (
        gettext_noop("Data retention"),
        gettext_noop("Deletes personal data that is older than the retention settings allow."),
    ),
    "lead_summary": (
        gettext_noop("Lead statistics"),
        gettext_noop("Counts the leads of past days for the overview."),
    ),
    "statistics": (
        gettext_noop("Database statistics"),
        gettext_noop("Removes deleted values from the database's statistics."),
    ),
}
# The fields of a lead. Other names, such as those of a form's own fields, are data: they are not translated.
FIELDS: Final = {
    "name": gettext_noop("Name"),
    "email": gettext_noop("Email"),
    "phone": gettext_noop("Phone"),
    "company": gettext_noop("Company"),
    "service": gettext_noop("Service"),
    "message": gettext_noop("Message"),
    "notes": gettext_noop("Notes"),
    "assignee": gettext_noop("Assignee"),
    "locale": gettext_noop("Locale"),
    "site": gettext_noop("Site"),
    "landing_page": gettext_noop("Landing page"),
    "page_title": gettext_noop("Page title"),
    "page_url": gettext_noop("Page URL"),
    "referrer": gettext_noop("Referrer"),
    "utm_source": gettext_noop("UTM source"),
    "utm_medium": gettext_noop("UTM medium"),
    "utm_campaign": gettext_noop("UTM campaign"),
    "utm_term": gettext_noop("UTM term"),
    "utm_content": gettext_noop("UTM content"),
    "utm_id": gettext_noop("UTM ID"),
    "first_utm_source": gettext_noop("First visit: source"),
    "first_utm_medium": gettext_noop("First visit: medium"),
    "first_utm_campaign": gettext_noop("First visit: campaign"),
    "first_utm_term": gettext_noop("First visit: term"),
    "first_utm_content": gettext_noop("First visit: content"),
    "first_utm_id": gettext_noop("First visit: ID"),
}
# A unit and the next smaller one in seconds, and the texts of a duration without and with the smaller one.
_DURATIONS: Final = (
    (86400, 3600, gettext_noop("%(large)s d"), gettext_noop("%(large)s d %(small)s h")),
    (3600, 60, gettext_noop("%(large)s h"), gettext_noop("%(large)s h %(small)s min")),
    (60, 1, gettext_noop("%(large)s min"), gettext_noop("%(large)s min %(small)s s")),
)
_EVERY_MINUTES: Final = re.compile(r"\*/(\d+) \* \* \* \*$")
_DAILY: Final = re.compile(r"(\d{1,2}) (\d{1,2}) \* \* \*$")
# The order in which marketing tools show a campaign. JSON in PostgreSQL keeps no order.
CAMPAIGN_FIELDS: Final = ("utm_source", "utm_medium", "utm_campaign", "utm_term", "utm_content", "utm_id")
FIRST_VISIT: Final = "first_"
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


def time_tag(at: datetime | None) -> Markup:
    """Return a `<time>` element in UTC, which locale.js converts to the viewer's time zone."""
    return _time_element(at, '<time datetime="{}">{}</time>')


def ago_tag(at: datetime | None) -> Markup:
    """Return a `<time>` element that locale.js shows as `5 min ago`. Use it where the age is what matters."""
    return _time_element(at, '<time datetime="{}" data-relative>{}</time>')


def _time_element(at: datetime | None, element: LiteralString) -> Markup:
    if at is None:
        return Markup('<span class="none">{}</span>').format(gettext("Never"))
    utc = at.astimezone(UTC)
    template = Markup(element)  # noqa: S704 - one of the literals of the two functions above
    return template.format(utc.isoformat(timespec="milliseconds"), f"{utc:%Y-%m-%d %H:%M} UTC")


def duration(seconds: float | None) -> str:
    """Return a duration in its two largest units, such as `2 h 5 min`."""
    if seconds is None:
        return NO_VALUE
    if seconds < 1:
        return gettext("%(count)s ms", count=max(0, round(seconds * 1000)))
    for size, smaller_size, alone, both in _DURATIONS:
        if seconds >= size:
            large, small = int(seconds) // size, int(seconds) % size // smaller_size
            return gettext(both if small else alone, large=large, small=small)
    return gettext("%(count)s s", count=round(seconds, 1) if seconds < 10 else int(seconds))


def event_name(event: str) -> str:
    """Return the name that pages show for an audit event."""
    name = EVENTS.get(event)
    return gettext(name) if name else event.replace(".", " ").replace("_", " ").capitalize()


def kind_name(kind: object) -> str:
    """Return the name that pages show for a kind of delivery."""
    kind = str(kind)
    return gettext(KINDS[kind]) if kind in KINDS else kind.replace("_", " ").capitalize()


def stage_name(stage: object) -> str:
    """Return the name that pages show for a stage or service.

    The name says what the stage or service does. For example, the persister's name is `Storage`.
    """
    name = STAGES.get(str(stage))
    return gettext(name) if name else field_label(str(stage))


def job_name(job: str) -> str:
    """Return the name that pages show for a scheduled job."""
    return gettext(JOBS[job][0]) if job in JOBS else field_label(job)


def job_description(job: str) -> str:
    """Return what a scheduled job does, or an empty text for an unknown job."""
    return gettext(JOBS[job][1]) if job in JOBS else ""


def schedule_name(cron: str) -> str:
    """Return a cron schedule in words, such as `Every 5 minutes`.

    Returns the schedule unchanged if it runs neither every few minutes nor daily.
    """
    if every := _EVERY_MINUTES.match(cron):
        return ngettext("Every minute", "Every %(count)s minutes", int(every[1]))
    if daily := _DAILY.match(cron):
        at = format_time(time(int(daily[2]), int(daily[1])), "short", locale=current_viewer().locale)
        return gettext("Every day at %(time)s UTC", time=at)
    return cron


def state_name(state: object) -> str:
    """Return the name that pages show for the state of a lead, email, queue row, replay or component."""
    name = STATES.get(str(state))
    return gettext(name) if name else str(state).capitalize()


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
        return gettext("yes") if value else gettext("no")
    return json.dumps(value, ensure_ascii=False)


def answer_html(answer: Any) -> Markup:
    """Return a visitor's answer as HTML. Commas separate the values of a list, and URLs of files are links.

    A link shows its URL, because a visitor may give a file any name.
    """
    return Markup(", ").join(_part_html(json_text(value), url) for value, url in answer_parts(answer))


def _part_html(text: str, url: str) -> Markup:
    if not url:
        return Markup("{}").format(text)
    link = Markup('<a href="{}" rel="noopener noreferrer">{}</a>').format(url, url)
    return Markup("{} ({})").format(text, link) if text else link


def detail_pairs(details: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the details of an audit event or a job as pairs of label and text. Omits empty values."""
    return [
        (field_label(name), _detail_text(name, value))
        for name, value in details.items()
        if value not in (None, "", [], {})
    ]


def address_text(address: str) -> Markup:
    """Return an email address as HTML in which a line may break only before the `@`."""
    return Markup("<wbr>@").join(address.split("@"))


def source_items(source: Mapping[str, Any] | None) -> list[tuple[str, Any]]:
    """Return a lead's source (its marketing campaigns) as pairs of name and value.

    The fields of the most recent campaign come first. The fields of the first visit's campaign come last.
    """
    source = source or {}
    names = [name for name in CAMPAIGN_FIELDS if name in source]
    names += [name for name in source if not name.startswith(FIRST_VISIT)]
    names += [FIRST_VISIT + name for name in CAMPAIGN_FIELDS if FIRST_VISIT + name in source]
    return [(name, source[name]) for name in dict.fromkeys([*names, *source])]


def source_label(name: str) -> str:
    """Return the label of a field of a lead's source, such as `First visit: campaign`."""
    if name in FIELDS or not name.startswith(FIRST_VISIT):
        return field_label(name)
    label = field_label(name.removeprefix(FIRST_VISIT))
    return gettext(
        "First visit: %(field)s", field=label if label.isupper() else label[:1].lower() + label[1:]
    )


def field_label(name: str) -> str:
    """Return the label that pages show for a field of a lead."""
    if name in FIELDS:
        return gettext(FIELDS[name])
    label = name.replace("_", " ").capitalize().replace("Utm", "UTM")
    return re.sub(r"\b(id|url|smtp)\b", lambda word: word[0].upper(), label, flags=re.IGNORECASE)


FILTERS: Final = {
    "time_tag": time_tag,
    "ago_tag": ago_tag,
    "duration": duration,
    "number": number,
    "percent": percent,
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
    "answer_html": answer_html,
    "concerns_address": concerns_address,
    "source_items": source_items,
    "source_label": source_label,
    "address_text": address_text,
    "lead_title": lead_title,
}
GLOBALS: Final = {"STATUSES": STATUSES, "EVENTS": EVENTS}
