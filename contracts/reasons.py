"""The reasons why a record fails, an email is not sent, or a lead is spam. They are stored and published.

`services.admin.rules.reasons` explains them to people. docs/reasons.md is generated from both modules.
"""

import re
from collections.abc import Iterable
from enum import StrEnum
from functools import cached_property
from typing import Final

# A regular expression for the value of each placeholder in a reason. The reply code has its own groups: the
# explanation depends on it.
_PATTERNS: Final = {
    "reply": r"(?P<code>[245]\d\d)(?: [245]\.(?P<enhanced>\d{1,3}\.\d{1,3}))?",
    "bounce": r"(?P<class>[45])\.(?P<enhanced>\d{1,3}\.\d{1,3})",
    "phase": r"(?P<phase>\w+)",
    "sqlstate": r"(?P<sqlstate>\w+)",
    "exception": r"(?P<exception>\w+)",
    "status": r"(?P<status>\d+)",
    "refused": r"(?P<refused>\d+)",
    "recipients": r"(?P<recipients>\d+)",
    "fields": r"(?P<fields>.*)",
    "site": r"(?P<site>.*)",
    "reason": r"(?P<reason>.*)",
}


class SpamReason(StrEnum):
    """Why a lead looks like spam.

    A lead is stored as `held` instead of `spam` if all of its reasons are in `LIMIT_REASONS`.
    """

    HONEYPOT = "honeypot"
    FILLED_TOO_FAST = "filled_too_fast"
    FORM_TIME_IMPLAUSIBLE = "form_time_implausible"
    TOO_MANY_LINKS = "too_many_links"
    LINK_IN_NAME = "link_in_name"
    LINK_MARKUP = "link_markup"
    RATE_IP = "rate_ip"
    RATE_EMAIL = "rate_email"
    RATE_SITE = "rate_site"
    CAPTCHA_MISSING = "captcha_missing"
    CAPTCHA_FAILED = "captcha_failed"
    CAPTCHA_UNVERIFIED = "captcha_unverified"


LIMIT_REASONS: Final = frozenset({SpamReason.RATE_IP, SpamReason.RATE_EMAIL, SpamReason.RATE_SITE})
"""The lead exceeded a rate limit. An office that shares one address, or a campaign, may do that too."""


class Reason(StrEnum):
    """Why a record failed, or why an email is not sent or is sent later.

    A value may have placeholders for codes and names. Fill them with `format`, never with personal data.
    """

    # The persister
    UNDECODABLE = "undecodable"
    CONFLICT = "conflict"
    TOO_MANY_UNDECODABLE = "too many undecodable records in one batch"
    # Every consumer
    DATA_REFUSED = "database refused the data ({sqlstate})"
    DATABASE_ANSWERED = "database answered {sqlstate}"
    BUG = "bug: {exception}"
    RECORD_TOO_LARGE = "record too large for the topic"
    # The flusher
    FAILURE_UNDECODABLE = "undecodable failure"
    FAILURE_NOT_STORED = "not taken: {reason}"
    QUEUE_ROW_MISSING = "queue row neither found nor made"
    GATEWAY_REFUSED = "gateway {status}{fields}"
    SITE_NOT_CONFIGURED = "no site {site} in FASTCORE_SITE_QUEUE_URL"
    # The notifier: the mail is not sent
    SPAM = "spam"
    HELD = "held"
    ERASED = "erased"
    TOO_MANY_TO_MAILBOX = "too many welcomes to this address"
    TOO_MANY_OF_SITE = "too many welcomes of this site"
    NO_ADDRESS = "no_address"
    ADDRESS_INVALID = "address is not valid"
    ADDRESS_BOUNCED = "an earlier email to this address bounced"
    ADDRESS_COMPLAINED = "this address reported an earlier email as spam"
    ADDRESS_SUPPRESSED = "this address is on the suppression list"
    HEADERS_INVALID = "headers are not as meant"
    SMTPUTF8_MISSING = "address needs smtputf8, which the mail server lacks"
    # The notifier: the mail server
    SMTP_REPLY = "smtp {reply} at {phase}"
    SMTP_SILENT = "smtp silent at {phase}"
    SMTP_TLS_REFUSED = "smtp tls refused at {phase}"
    SMTP_CONNECTION_LOST = "smtp connection lost at {phase}"
    SMTP_SERVER_LACKS = "smtp server lacks what we need at {phase}"
    RECIPIENTS_REFUSED = "{refused} of {recipients} recipients refused: {reason}"
    PROCESS_DIED = "process ended after the body may have been written"
    # What came back after the mail server had accepted the mail
    BOUNCED = "bounced"
    BOUNCED_WITH = "bounced with {bounce}"
    COMPLAINED = "reported as spam"
    # The webhooks service: an attempt at a destination
    DESTINATION_ANSWERED = "destination answered {status}"
    DESTINATION_LACKS_TEXT = "destination answered {status} without the text of expect"
    DESTINATION_SILENT = "destination did not answer in time"
    DESTINATION_NAME_UNKNOWN = "destination's name has no address"
    DESTINATION_CERTIFICATE = "destination's certificate is not valid"
    DESTINATION_NOT_PUBLIC = "destination's address is not public"
    DESTINATION_UNREACHABLE = "destination accepts no connection"
    DESTINATION_BROKE_OFF = "destination broke off its response"
    PROCESS_DIED_SENDING = "no attempt had an outcome: the process ended"
    TEMPLATE_MISSING = "destination has no erased_body"
    TEMPLATE_FAILED = "destination's template failed: {exception}"
    # The admin service: a mail is requested
    RELEASED_FROM_SPAM = "released from spam"
    RELEASED_FROM_HOLD = "released from hold"
    REQUESTED_BY_ADMIN = "requested by an admin"

    @classmethod
    def gateway_refused(cls, status: int, fields: Iterable[str]) -> str:
        """Return `GATEWAY_REFUSED` with the names of the refused fields, in at most 200 characters."""
        names = ", ".join(sorted(set(fields)))
        return cls.GATEWAY_REFUSED.format(status=status, fields=names and f": {names}")[:200]

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        """Return the pattern that matches every stored text of this reason.

        The SMTP phase is optional, because earlier versions did not write it.
        """
        template = re.escape(self.value)
        for name, pattern in _PATTERNS.items():
            template = template.replace(rf"\{{{name}\}}", pattern)
        return re.compile(re.sub(r"\\ at\\ (\(.*?\))$", r"(?: at \1)?", template), re.DOTALL)

    @classmethod
    def match(cls, text: str) -> tuple["Reason", dict[str, str | None]] | None:
        """Return the reason that a stored text states, and the values of the reason's placeholders by name.

        Returns None if the text is not a known reason.
        """
        for reason in cls:
            if found := reason.pattern.fullmatch(text):
                return reason, found.groupdict()
        return None
