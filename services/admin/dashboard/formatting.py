"""What the pages call things: times, spans, numbers, events and states, in words for people. Pure."""

import json
import re
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, Final

from fastapi.exceptions import RequestValidationError
from markupsafe import Markup

from services.admin.rules.reasons import explain, spam_word

# What each event of the audit log says to somebody who has never heard of Kafka.
EVENTS: Final = {
    "lead.received": "Lead received",
    "lead.rejected": "Request refused",
    "lead.conflict": "Conflicting copy kept aside",
    "lead.parked": "Put into the queue",
    "lead.dead": "Gave up",
    "lead.replayed": "Tried again",
    "lead.archived": "Set aside",
    "lead.status_changed": "Status changed",
    "lead.edited": "Lead edited",
    "lead.exported": "Data exported",
    "lead.erased": "Lead erased",
    "email.sent": "Mail sent",
    "email.failed": "Mail failed",
    "email.unknown": "Mail: outcome unknown",
    "email.suppressed": "Mail held back",
    "queue.flushed": "Queue flushed",
    "queue.cleared": "Queue cleared",
    "queue.replayed": "Replay begun",
    "queue.replay_cancelled": "Replay cancelled",
    "stage.resumed": "Stage let go on",
    "site_queue.pulled": "Website's own queue taken in",
}
KINDS: Final = {
    "welcome": "Welcome mail",
    "admin_alert": "Alert to admins",
    "store": "Storing the lead",
    "audit": "Storing an audit record",
    "pull": "Taking in from the website",
}
# What runs where, by what it does.
STAGES: Final = {
    "ingest": "Lead intake",
    "persister": "Storage",
    "notifier": "Email",
    "site": "Website queues",
    "flusher": "Retries",
}
# Statuses of leads, and states of mails, queue rows and replays, where the API's own word says little to
# somebody who sells.
STATES: Final = {
    "received": "New",
    "processing": "In progress",
    "contacted": "Contacted",
    "won": "Won",
    "lost": "Lost",
    "spam": "Spam",
    "erased": "Erased",
    "up": "Operational",
    "down": "Unavailable",
    "reserved": "in hand",
    "suppressed": "held back",
    "unknown": "Unknown",
    "replaying": "being tried",
    "dead": "given up",
    "archived": "set aside",
    "resolved": "done",
}
JOBS: Final = {
    "replay_queue": "Tries again what waits and is due",
    "site_queue": "Fetches the leads that websites kept while they could not reach us",
    "retention": "Erases leads that are older than the settings allow",
    "statistics": "Removes erased values from the database's own statistics",
}
TITLES: Final = {
    403: "Not accepted",
    404: "Not found",
    409: "This cannot be done now",
    413: "Too much at once",
    422: "Something in it is not right",
    429: "Too often",
    500: "Something went wrong",
    503: "Not available now",
}
_EVERY: Final = re.compile(r"\*/(\d+) \* \* \* \*$")
_DAILY: Final = re.compile(r"(\d{1,2}) (\d{1,2}) \* \* \*$")
NOT_KNOWN: Final = "\N{EN DASH}"
STATUSES: Final = ("received", "processing", "contacted", "won", "lost", "spam")
# The tone of a word: how its chip looks. What is not here is neutral.
TONES: Final = {
    "received": "blue", "processing": "amber", "contacted": "violet", "won": "good", "lost": "grey",
    "spam": "bad", "erased": "grey",
    "sent": "good", "waiting": "amber", "reserved": "blue", "sending": "blue", "dead": "bad",
    "unknown": "amber", "suppressed": "grey", "replaying": "blue", "resolved": "good", "archived": "grey",
    "succeeded": "good", "failed": "bad", "running": "blue",
    "finished": "good", "cancelled": "grey", "queued": "grey", "skipped": "grey",
    "up": "good", "down": "bad", "good": "good", "bad": "bad", "wait": "amber", "neutral": "violet",
    "lead.received": "blue", "lead.rejected": "bad", "lead.conflict": "amber", "lead.parked": "amber",
    "lead.dead": "bad", "lead.replayed": "blue", "lead.archived": "grey", "lead.status_changed": "violet",
    "lead.edited": "violet", "lead.exported": "violet", "lead.erased": "bad", "email.sent": "good",
    "email.failed": "bad", "email.unknown": "amber", "email.suppressed": "grey", "queue.flushed": "violet",
    "queue.cleared": "violet", "queue.replayed": "violet", "queue.replay_cancelled": "violet",
    "stage.resumed": "violet", "site_queue.pulled": "blue",
}  # fmt: skip


def when(time: datetime | None) -> Markup:
    """Write a time; the browser turns it into the viewer's zone."""
    if time is None:
        return Markup('<span class="none">never</span>')
    utc = time.astimezone(UTC)
    return Markup('<time datetime="{}">{}</time>').format(
        utc.isoformat(timespec="milliseconds"), f"{utc:%Y-%m-%d %H:%M} UTC"
    )


def span(seconds: float | None) -> str:
    """Write a span of time in its two largest units."""
    if seconds is None:
        return NOT_KNOWN
    if seconds < 1:
        return f"{max(0, round(seconds * 1000))} ms"
    if seconds < 10:
        return f"{seconds:.1f} s".replace(".0 s", " s")
    whole = int(seconds)
    for size, unit, lower, part in ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole >= size:
            rest = whole % size // lower
            return f"{whole // size} {unit}" + (f" {rest} {part}" if rest else "")
    return f"{whole} s"


def number(value: float | None) -> str:
    """Write a count with its thousands apart."""
    return NOT_KNOWN if value is None else f"{value:,}".replace(",", "\u2009")


def plural(count: int, one: str, many: str = "") -> str:
    """Write a count with its noun."""
    return f"{number(count)} {one if count == 1 else many or one + 's'}"


def event_name(event: str) -> str:
    """Say what happened."""
    return EVENTS.get(event, event.replace(".", " ").replace("_", " ").capitalize())


def kind_name(kind: object) -> str:
    """Say what was tried."""
    kind = str(kind)
    return KINDS.get(kind, kind.replace("_", " ").capitalize())


def stage_name(stage: object) -> str:
    """Say what a stage does."""
    return STAGES.get(str(stage), label(str(stage)))


def job_name(job: str) -> str:
    """Say what a job does."""
    return JOBS.get(job, "")


def schedule_name(cron: str) -> str:
    """Say when a job runs; a schedule that is not a simple one is told as it is written."""
    if every := _EVERY.match(cron):
        return f"Every {plural(int(every[1]), 'minute')}"
    if daily := _DAILY.match(cron):
        return f"Every day at {int(daily[2]):02}:{int(daily[1]):02} UTC"
    return cron


def title(status: int) -> str:
    """Head a page that says why something was not done."""
    return TITLES.get(status) or HTTPStatus(status).phrase


def state_name(state: object) -> str:
    """Say how something stands."""
    return STATES.get(str(state), str(state))


def why(reason: str) -> str:
    """Say what a reason means, as a heading; one that nobody foresaw stays as it is."""
    said = explain(reason)
    return said[0].upper() + said[1:] if said else reason


def tone(word: str) -> str:
    """Return how a word's chip looks."""
    return TONES.get(word, "grey")


def plain(value: Any) -> str:
    """Write a value of JSON as text."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "yes" if value else "no"
    return json.dumps(value, ensure_ascii=False)


def details(given: dict[str, Any]) -> list[tuple[str, str]]:
    """Return what an entry tells beside its event, as pairs; what is empty is left out."""
    return [
        (name.replace("_", " "), ", ".join(map(plain, value)) if isinstance(value, list) else plain(value))
        for name, value in given.items()
        if value not in (None, "", [], {})
    ]


def label(name: str) -> str:
    """Write the name of a field for people."""
    return name.replace("_", " ").capitalize().replace("Utm", "UTM").replace(" url", " URL")


def wrong_fields(error: RequestValidationError) -> str:
    """Say which field is wrong and why; never what was sent."""
    said = []
    for item in error.errors():
        name = label(str(item["loc"][-1]))
        said.append(f"{name}: {str(item['msg']).removeprefix('Value error, ')}.")
    return " ".join(said)


FILTERS: Final = {
    "when": when,
    "span": span,
    "number": number,
    "event_name": event_name,
    "kind_name": kind_name,
    "stage_name": stage_name,
    "job_name": job_name,
    "schedule_name": schedule_name,
    "state_name": state_name,
    "spam_word": spam_word,
    "why": why,
    "tone": tone,
    "details": details,
    "label": label,
    "plain": plain,
}
GLOBALS: Final = {"STATUSES": STATUSES, "EVENTS": EVENTS, "plural": plural}
