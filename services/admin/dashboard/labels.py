"""Badge styles, and the names that pages show for events, kinds, stages, states, jobs and fields."""

import re
from typing import Final

from services.admin.rules.lead_rules import STATUS_NAMES
from services.admin.rules.reasons import explain
from services.admin.texts import gettext, gettext_noop

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
    "email.bounced": gettext_noop("Email bounced"),
    "email.complained": gettext_noop("Email reported as spam"),
    "suppression.added": gettext_noop("Address suppressed"),
    "suppression.removed": gettext_noop("Suppression removed"),
    "queue.flushed": gettext_noop("All pending deliveries retried"),
    "queue.cleared": gettext_noop("All pending deliveries archived"),
    "queue.archived": gettext_noop("Deliveries archived"),
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
    "delivery.requested": gettext_noop("Delivery to a destination requested"),
    "delivery.resent": gettext_noop("Delivery to a destination sent again"),
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
    "collected": gettext_noop("In the next digest"),
    "replaying": gettext_noop("Retrying"),
    "dead": gettext_noop("Failed"),
    "sent": gettext_noop("Sent"),
    "sending": gettext_noop("Sending"),
    "unknown": gettext_noop("Unknown"),
    "suppressed": gettext_noop("Suppressed"),
    "bounced": gettext_noop("Bounced"),
    "complained": gettext_noop("Reported as spam"),
    "resolved": gettext_noop("Resolved"),
    "archived": gettext_noop("Archived"),
    "succeeded": gettext_noop("Succeeded"),
    "failed": gettext_noop("Failed"),
    "running": gettext_noop("Running"),
    "finished": gettext_noop("Finished"),
    "cancelled": gettext_noop("Cancelled"),
    "queued": gettext_noop("Queued"),
    "skipped": gettext_noop("Skipped"),
    "pending": gettext_noop("Pending"),
    "delivered": gettext_noop("Delivered"),
    "healthy": gettext_noop("Healthy"),
    "paused": gettext_noop("Paused"),
    "disabled": gettext_noop("Disabled"),
    "ok": gettext_noop("Works"),
    "failing": gettext_noop("Failing"),
    "unreached": gettext_noop("Not reached"),
    "removed": gettext_noop("Removed from the sites file"),
}
# The kinds of destinations, and the events that they receive.
DESTINATION_KINDS: Final = {
    "webhook": gettext_noop("Webhook"),
    "slack": gettext_noop("Slack"),
    "teams": gettext_noop("Microsoft Teams"),
    "discord": gettext_noop("Discord"),
    "http": gettext_noop("HTTP request"),
}
DESTINATION_EVENTS: Final = {
    "lead.received": gettext_noop("New lead"),
    "lead.updated": gettext_noop("Lead edited"),
    "lead.status_changed": gettext_noop("Status changed"),
    "lead.alert_failed": gettext_noop("Team notifications failed"),
    "lead.erased": gettext_noop("Personal data deleted"),
    "lead.test": gettext_noop("Test event"),
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
    "lead_event_outbox": (
        gettext_noop("Events for destinations"),
        gettext_noop("Publishes the changes of leads, so that destinations receive them."),
    ),
    "alert_escalation": (
        gettext_noop("Failed team notifications"),
        gettext_noop("Tells destinations of leads whose notification nobody on the team received."),
    ),
    "audit_partitions": (
        gettext_noop("Audit log"),
        gettext_noop("Creates the audit log's next partitions before they are needed."),
    ),
    "canary": (
        gettext_noop("Canary"),
        gettext_noop("Sends a test lead through each site's own form."),
    ),
    "lead_summary": (
        gettext_noop("Lead statistics"),
        gettext_noop("Counts the leads of past days for the overview."),
    ),
    "audit_seal": (
        gettext_noop("Audit log seal"),
        gettext_noop("Signs the new entries of the audit log, so that changes to them can be noticed."),
    ),
    "audit_check": (
        gettext_noop("Audit log check"),
        gettext_noop("Compares the whole audit log with its signatures."),
    ),
    "audit_witness": (
        gettext_noop("Audit log witnesses"),
        gettext_noop("Emails the newest signature of the audit log to people outside."),
    ),
    "backup": (
        gettext_noop("Backup"),
        gettext_noop("Backs up the database, and restores each backup to see that it works."),
    ),
    "bounce_mailbox": (
        gettext_noop("Bounce mailbox"),
        gettext_noop("Reads reports of emails that came back from the sender's mailbox."),
    ),
    "suppression_expiry": (
        gettext_noop("Suppression list"),
        gettext_noop("Removes the entries that have expired."),
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
STATUSES: Final = ("received", "processing", "contacted", "won", "lost", "held", "spam")
# The CSS class of each state's and event's badge. A state that is missing here is grey.
BADGE_STYLES: Final = {
    "received": "blue", "processing": "amber", "contacted": "violet", "won": "good", "lost": "grey",
    "held": "amber", "spam": "bad", "erased": "grey",
    "sent": "good", "waiting": "amber", "reserved": "blue", "collected": "blue", "sending": "blue",
    "dead": "bad", "unknown": "amber", "suppressed": "grey", "bounced": "bad", "complained": "bad",
    "replaying": "blue", "resolved": "good", "archived": "grey",
    "succeeded": "good", "failed": "bad", "running": "blue",
    "finished": "good", "cancelled": "grey", "queued": "grey", "skipped": "grey",
    "up": "good", "down": "bad", "good": "good", "bad": "bad", "wait": "amber", "neutral": "violet",
    "lead.received": "blue", "lead.rejected": "bad", "lead.conflict": "amber", "lead.parked": "amber",
    "lead.dead": "bad", "lead.replayed": "blue", "lead.archived": "grey", "lead.status_changed": "violet",
    "lead.edited": "violet", "lead.note_added": "violet", "lead.note_edited": "violet",
    "lead.note_deleted": "violet", "lead.exported": "violet", "lead.erased": "bad", "email.sent": "good",
    "email.failed": "bad", "email.unknown": "amber", "email.suppressed": "grey",
    "email.bounced": "bad", "email.complained": "bad", "suppression.added": "violet",
    "suppression.removed": "violet", "queue.flushed": "violet",
    "bulk.started": "violet", "bulk.cancelled": "violet", "queue.cleared": "violet",
    "queue.archived": "violet", "queue.replayed": "violet", "queue.replay_cancelled": "violet",
    "stage.resumed": "violet", "incident.acknowledged": "violet", "incident.resolved": "violet",
    "pending": "amber", "delivered": "good", "healthy": "good", "paused": "amber", "disabled": "bad",
    "ok": "good", "failing": "bad", "unreached": "grey",
    "removed": "grey", "delivery.dead": "bad", "delivery.requested": "violet", "delivery.resent": "violet",
    "destination.disabled": "amber", "destination.enabled": "violet",
    "destination.tested": "violet", "destination.retried": "violet",
    "view.saved": "violet", "view.renamed": "violet", "view.edited": "violet", "view.deleted": "violet",
    "site_queue.pulled": "blue",
}  # fmt: skip


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


def state_name(state: object) -> str:
    """Return the name that pages show for the state of a lead, email, queue row, replay or component."""
    name = STATES.get(str(state))
    return gettext(name) if name else str(state).capitalize()


def destination_kind(kind: object) -> str:
    """Return the name that pages show for a kind of destination."""
    name = DESTINATION_KINDS.get(str(kind))
    return gettext(name) if name else str(kind)


def destination_event(event: object) -> str:
    """Return the name that pages show for an event that destinations receive."""
    name = DESTINATION_EVENTS.get(str(event))
    return gettext(name) if name else str(event)


def reason_text(reason: str) -> str:
    """Return the explanation of a failure's reason, or the reason itself if it has no explanation."""
    text = explain(reason)
    return text[0].upper() + text[1:] if text else reason


def stored_text(text: str) -> str:
    """Return the translation of a text that was stored in English, such as the reason for a refusal."""
    return gettext(text)


def badge_style(name: str) -> str:
    """Return the CSS class of the badge for a state or an audit event."""
    return BADGE_STYLES.get(name, "grey")


def field_label(name: str) -> str:
    """Return the label that pages show for a field of a lead."""
    if name in FIELDS:
        return gettext(FIELDS[name])
    label = name.replace("_", " ").capitalize().replace("Utm", "UTM")
    return re.sub(r"\b(id|url|smtp)\b", lambda word: word[0].upper(), label, flags=re.IGNORECASE)


FILTERS: Final = {
    "event_name": event_name,
    "kind_name": kind_name,
    "stage_name": stage_name,
    "job_name": job_name,
    "job_description": job_description,
    "state_name": state_name,
    "destination_kind": destination_kind,
    "destination_event": destination_event,
    "reason_text": reason_text,
    "stored_text": stored_text,
    "badge_style": badge_style,
    "field_label": field_label,
}
GLOBALS: Final = {"STATUSES": STATUSES, "EVENTS": EVENTS}
