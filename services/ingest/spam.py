"""Does a lead look like spam? Pure decisions. A lead is never refused for it, only kept apart."""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from pydantic import JsonValue, TypeAdapter, ValidationError

from contracts.leads import LeadSubmission, Meta
from runtime.http.rate_limiter import network_of

# The site's clock and ours differ; a form shown later than this from now was never shown.
CLOCK_SKEW: Final = timedelta(minutes=5)
_LINK: Final = re.compile(r"https?://|www\.", re.IGNORECASE)
_MARKUP: Final = re.compile(r"\[url|<a\s+href", re.IGNORECASE)
_DATETIME: Final = TypeAdapter(datetime)


class SpamReason(StrEnum):
    """Why a lead is kept as spam: our own words, shown to admins."""

    HONEYPOT = "honeypot"
    FILLED_TOO_FAST = "filled_too_fast"
    FORM_TIME_IMPLAUSIBLE = "form_time_implausible"
    TOO_MANY_LINKS = "too_many_links"
    LINK_IN_NAME = "link_in_name"
    LINK_MARKUP = "link_markup"
    RATE_IP = "rate_ip"
    RATE_EMAIL = "rate_email"


@dataclass(frozen=True)
class SpamRules:
    """The thresholds."""

    min_fill_seconds: float
    max_links: int


def spam_reasons_of(submission: LeadSubmission, rules: SpamRules, now: datetime) -> list[SpamReason]:
    """Return what is suspicious about one submission, seen by itself."""
    meta = submission.meta
    found: list[SpamReason] = []
    if meta and _filled(meta.honeypot):
        found.append(SpamReason.HONEYPOT)
    if meta and (reason := _judge_time(meta, rules, now)):
        found.append(reason)
    if len(_LINK.findall(submission.message)) > rules.max_links:
        found.append(SpamReason.TOO_MANY_LINKS)
    if _MARKUP.search(submission.message):
        found.append(SpamReason.LINK_MARKUP)
    if _LINK.search(submission.name):
        found.append(SpamReason.LINK_IN_NAME)
    return found


def _filled(honeypot: JsonValue) -> bool:
    return bool(honeypot.strip() if isinstance(honeypot, str) else honeypot)


def _judge_time(meta: Meta, rules: SpamRules, now: datetime) -> SpamReason | None:
    # What the site measured holds also for a lead that waited in its queue before it came here.
    if isinstance(meta.fill_seconds, int | float) and not isinstance(meta.fill_seconds, bool):
        return SpamReason.FILLED_TOO_FAST if meta.fill_seconds < rules.min_fill_seconds else None
    shown = meta.form_rendered_at
    if shown is None or shown == "":
        return None
    try:
        shown_at = _DATETIME.validate_python(shown)
    except ValidationError:
        return SpamReason.FORM_TIME_IMPLAUSIBLE
    if shown_at.tzinfo is None:
        # A site that forgot the zone: nothing can be said, and all its leads are not spam.
        return None
    elapsed = now - shown_at
    if elapsed < -CLOCK_SKEW:
        return SpamReason.FORM_TIME_IMPLAUSIBLE
    return SpamReason.FILLED_TOO_FAST if elapsed.total_seconds() < rules.min_fill_seconds else None


def visitor_network(ip: JsonValue) -> str | None:
    """Return the network that a visitor's address is counted under, or None if it is no IP address."""
    return network_of(ip) if isinstance(ip, str) else None
