"""Does a lead look like spam? Pure decisions. A lead is never refused for it, only kept apart."""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from ipaddress import IPv6Address, IPv6Network, ip_address
from typing import Final

from pydantic import JsonValue, TypeAdapter, ValidationError

from contracts.leads import LeadSubmission, Meta

# The site's clock and ours differ; a form shown later than this from now was never shown.
CLOCK_SKEW: Final = timedelta(minutes=5)
_LINK: Final = re.compile(r"https?://|www\.", re.IGNORECASE)
_MARKUP: Final = re.compile(r"\[url|<a\s+href", re.IGNORECASE)
_DATETIME: Final = TypeAdapter(datetime)
_IPV6_HOST_NET: Final = 64


class Reason(StrEnum):
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
class Rules:
    """The thresholds."""

    min_fill_seconds: float
    max_links: int


def signs_of_spam(submission: LeadSubmission, rules: Rules, now: datetime) -> list[Reason]:
    """Return what is suspicious about one submission, seen by itself."""
    meta = submission.meta
    found: list[Reason] = []
    if meta and _filled(meta.honeypot):
        found.append(Reason.HONEYPOT)
    if meta and (reason := _judge_time(meta, rules, now)):
        found.append(reason)
    if len(_LINK.findall(submission.message)) > rules.max_links:
        found.append(Reason.TOO_MANY_LINKS)
    if _MARKUP.search(submission.message):
        found.append(Reason.LINK_MARKUP)
    if _LINK.search(submission.name):
        found.append(Reason.LINK_IN_NAME)
    return found


def _filled(honeypot: JsonValue) -> bool:
    return bool(honeypot.strip() if isinstance(honeypot, str) else honeypot)


def _judge_time(meta: Meta, rules: Rules, now: datetime) -> Reason | None:
    # What the site measured holds also for a lead that waited in its queue before it came here.
    if isinstance(meta.fill_seconds, int | float) and not isinstance(meta.fill_seconds, bool):
        return Reason.FILLED_TOO_FAST if meta.fill_seconds < rules.min_fill_seconds else None
    shown = meta.form_rendered_at
    if shown is None or shown == "":
        return None
    try:
        shown_at = _DATETIME.validate_python(shown)
    except ValidationError:
        return Reason.FORM_TIME_IMPLAUSIBLE
    if shown_at.tzinfo is None:
        # A site that forgot the zone: nothing can be said, and all its leads are not spam.
        return None
    elapsed = now - shown_at
    if elapsed < -CLOCK_SKEW:
        return Reason.FORM_TIME_IMPLAUSIBLE
    return Reason.FILLED_TOO_FAST if elapsed.total_seconds() < rules.min_fill_seconds else None


def visitor_network(ip: JsonValue) -> str | None:
    """Return what a visitor's address is counted by, None where it is none.

    An IPv6 host owns a whole /64; a mapped IPv4 address is that IPv4 address.
    """
    try:
        address = ip_address(ip.strip()) if isinstance(ip, str) else None
    except ValueError:
        return None
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped:
            return str(address.ipv4_mapped)
        return str(IPv6Network((int(address), _IPV6_HOST_NET), strict=False))
    return str(address) if address else None
