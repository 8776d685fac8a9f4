"""Texts and HTML that the pages show for times, durations, sources, answers and other values. No I/O."""

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime, time
from typing import Any, Final, LiteralString

from babel.dates import format_time
from markupsafe import Markup

from contracts.answers import answer_parts
from services.admin.dashboard.labels import FIELDS, field_label, kind_name, state_name
from services.admin.rules.lead_rules import lead_title
from services.admin.rules.reasons import concerns_address, spam_word
from services.admin.texts import NO_VALUE, current_viewer, gettext, gettext_noop, ngettext, number, percent

# A unit and the next smaller one in seconds, and the texts of a duration without and with the smaller one.
_DURATIONS: Final = (
    (86400, 3600, gettext_noop("%(large)s d"), gettext_noop("%(large)s d %(small)s h")),
    (3600, 60, gettext_noop("%(large)s h"), gettext_noop("%(large)s h %(small)s min")),
    (60, 1, gettext_noop("%(large)s min"), gettext_noop("%(large)s min %(small)s s")),
)
_EVERY_MINUTES: Final = re.compile(r"\*(?:/(\d+))? \* \* \* \*$")
_DAILY: Final = re.compile(r"(\d{1,2}) (\d{1,2}) \* \* \*$")
# The order in which marketing tools show a campaign. JSON in PostgreSQL keeps no order.
CAMPAIGN_FIELDS: Final = ("utm_source", "utm_medium", "utm_campaign", "utm_term", "utm_content", "utm_id")
FIRST_VISIT: Final = "first_"


def time_tag(at: datetime | None) -> Markup:
    """Return a `<time>` element in UTC, which locale.js converts to the viewer's time zone."""
    return _time_element(at, '<time datetime="{}">{}</time>')


def ago_tag(at: datetime | None) -> Markup:
    """Return a `<time>` element that locale.js shows as `5 min ago`. Use it where only the age matters."""
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


def schedule_name(cron: str) -> str:
    """Return a cron schedule in words, such as `Every 5 minutes`.

    A schedule that runs every few minutes or daily is put into words. Any other schedule is returned
    unchanged.
    """
    if every := _EVERY_MINUTES.match(cron):
        return ngettext("Every minute", "Every %(count)s minutes", int(every[1] or 1))
    if daily := _DAILY.match(cron):
        at = format_time(time(int(daily[2]), int(daily[1])), "short", locale=current_viewer().locale)
        return gettext("Every day at %(time)s UTC", time=at)
    return cron


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
    """Return the details of an audit event or a job as pairs of label and text, ids last.

    Omits empty values.
    """
    return [
        (field_label(name), _detail_text(name, details[name]))
        for name in sorted(details, key=lambda name: (name.endswith("_id"), name == "to"))
        if details[name] not in (None, "", [], {})
    ]


def address_text(address: str) -> Markup:
    """Return an email address as HTML in which a line may break only before the `@`."""
    return Markup("<wbr>@").join(address.split("@"))


def source_items(source: Mapping[str, Any] | None) -> list[tuple[str, Any]]:
    """Return a lead's source (its marketing campaigns) as pairs of name and value.

    The order is: the most recent campaign, other fields, the campaign of the first visit.
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


FILTERS: Final = {
    "time_tag": time_tag,
    "ago_tag": ago_tag,
    "duration": duration,
    "number": number,
    "percent": percent,
    "schedule_name": schedule_name,
    "spam_word": spam_word,
    "detail_pairs": detail_pairs,
    "json_text": json_text,
    "answer_html": answer_html,
    "concerns_address": concerns_address,
    "source_items": source_items,
    "source_label": source_label,
    "address_text": address_text,
    "lead_title": lead_title,
}
