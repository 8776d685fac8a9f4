"""Decides whether a lead looks like spam. No I/O, no clock.

A lead that looks like spam is never rejected. It is stored with the status `spam`, or with the status
`held` if it only exceeded a rate limit.
"""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from pydantic import JsonValue

from contracts.leads import LeadSubmission
from contracts.reasons import SpamReason
from contracts.text import is_blank
from contracts.times import parse_time
from contracts.visit import Meta
from runtime.http.rate_limiter import network_of

# How far the site's clock may be ahead. A form displayed later than this has an implausible time.
CLOCK_SKEW: Final = timedelta(minutes=5)
# A link from its beginning to its end, so that `https://www.` and an address within a link are one link.
_LINK: Final = re.compile(r"(?:https?://|www\.)[^\s<>\"'\[\](),;|]*", re.IGNORECASE)
_MARKUP: Final = re.compile(r"\[url|<a\s+href", re.IGNORECASE)
# What browsers, PHP and JavaScript send for an empty field or an unchecked box. The letter O is a mistyped 0.
_EMPTY: Final = frozenset({"0", "o", "false", "off", "null", "none", "undefined"})


@dataclass(frozen=True)
class SpamRules:
    """The thresholds of the spam checks."""

    min_fill_seconds: float
    max_links: int


def check_content(submission: LeadSubmission, rules: SpamRules, now: datetime) -> list[SpamReason]:
    """Return the reasons why the content of a submission looks like spam, or an empty list."""
    meta = submission.meta
    reasons: list[SpamReason] = []
    if meta and is_filled(meta.honeypot):
        reasons.append(SpamReason.HONEYPOT)
    if meta and (reason := _check_form_time(meta, rules, now)):
        reasons.append(reason)
    message, name = submission.message, submission.name
    if _may_contain_link(message) and len(_LINK.findall(message)) > rules.max_links:
        reasons.append(SpamReason.TOO_MANY_LINKS)
    if ("[" in message or "<" in message) and _MARKUP.search(message):
        reasons.append(SpamReason.LINK_MARKUP)
    if name and _may_contain_link(name) and _LINK.search(name):
        reasons.append(SpamReason.LINK_IN_NAME)
    return reasons


def _may_contain_link(text: str) -> bool:
    # Searching for the pattern, which ignores case, takes eight times as long, and most texts have no link.
    return "://" in text or "www." in text.lower()


def is_filled(honeypot: JsonValue) -> bool:
    """Return True if a honeypot field has a value that no browser sends by itself."""
    if isinstance(honeypot, str):
        return not is_blank(honeypot) and honeypot.strip().casefold() not in _EMPTY
    if isinstance(honeypot, list | dict):
        return any(
            is_filled(each) for each in (honeypot.values() if isinstance(honeypot, dict) else honeypot)
        )
    return bool(honeypot)


def _check_form_time(meta: Meta, rules: SpamRules, now: datetime) -> SpamReason | None:
    # The site's measurement takes precedence: it is also right for a lead that waited in the site's queue.
    if isinstance(meta.fill_seconds, int | float) and not isinstance(meta.fill_seconds, bool):
        return SpamReason.FILLED_TOO_FAST if meta.fill_seconds < rules.min_fill_seconds else None
    # A time that cannot be read, or has no time zone, proves nothing: all leads of the site would be spam.
    displayed_at = parse_time(meta.form_rendered_at, default_zone=None)
    if displayed_at is None:
        return None
    elapsed = now - displayed_at
    if elapsed < -CLOCK_SKEW:
        return SpamReason.FORM_TIME_IMPLAUSIBLE
    return SpamReason.FILLED_TOO_FAST if elapsed.total_seconds() < rules.min_fill_seconds else None


def visitor_network(ip: JsonValue) -> str | None:
    """Return the network of a visitor's address, or None if `ip` is no IP address.

    A visitor's leads are counted by this network.
    """
    return network_of(ip) if isinstance(ip, str) else None
