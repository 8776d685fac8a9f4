"""Replies whose meaning no code gives: rate limits, and refusals of our own sender, login or host. Pure.

Each row names its source. Texts are matched without what stands in angle brackets and without the recipients'
addresses, or a visitor could write a rule's words into an address.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

_BRACKETED: Final = re.compile(r"<[^>]*>")
_VARYING: Final = re.compile(r"\S*[\d@]\S*")  # ids, times and addresses, which differ from reply to reply
# RFC 3463: 1.1 to 1.3, 1.6 and 1.10 are the recipient's address, 2.x the mailbox.
_OF_RECIPIENT: Final = re.compile(r"[45]\.(1\.(1|2|3|6|10)|2\.\d{1,3})")


@dataclass(frozen=True)
class Rule:
    """Matches an enhanced status, or a text; where both are given, both. `source` says who replies so."""

    source: str
    enhanced: str = ""
    text: str = ""

    def matches(self, enhanced: str | None, text: str) -> bool:
        """Return True where a reply is of this kind."""
        return (not self.enhanced or re.fullmatch(self.enhanced, enhanced or "") is not None) and (
            not self.text or re.search(self.text, text) is not None
        )


# The provider takes our mails, but not so many, or not so quickly.
RATE_LIMITS: Final = (
    Rule("Amazon SES, SMTP response codes (454)", text="throttling failure|maximum sending rate exceeded"),
    Rule("Amazon SES, sending quotas (454)", text="daily message quota exceeded"),
    Rule("Exchange Online, NDR 5.1.90: recipients of a day", enhanced="5[.]1[.]90"),
    Rule("Exchange Online, NDR 5.2.0: SubmissionQuotaExceededException", text="submissionquotaexceeded"),
    Rule("Exchange Online, NDR 5.7.232 and 5.7.233: external recipients of a day", enhanced="5[.]7[.]23[23]"),
    Rule("Exchange Online, NDR 5.7.508: permitted limits", text="has exceeded permitted limits"),
    Rule(
        "Exchange, 421 4.4.2 and 432 4.3.2",
        text="message submission rate|concurrent connections limit exceeded|sender thread limit exceeded",
    ),
    Rule("Gmail, 550 5.4.5: sending limit of a day", enhanced="5[.]4[.]5"),
    Rule("Gmail, 4.7.28 and 5.7.28: unusual rate", enhanced="[45][.]7[.]28"),
    Rule("Gmail, 421 4.7.0: unusual rate", enhanced="4[.]7[.]0", text="unusual rate|rate limited"),
    Rule("Gmail, 450 4.2.1: limit of the SMTP relay", text="relay limit exceeded"),
    Rule(
        "Gmail and Exchange Online, 452 4.5.3: too many recipients (of a mail to one)", enhanced="4[.]5[.]3"
    ),
    Rule("SendGrid, 451", text="maximum credits exceeded|exceeded your messaging limits"),
    Rule("Postfix, anvil (smtpd.c)", text="error: too (much mail|many (recipients|connections)) from"),
    Rule("cPanel, Exim", text="exceeded the max (emails|defers and failures) per hour"),
    Rule("rspamd, ratelimit module (4.7.1)", text="ratelimit .*exceeded"),
    Rule("IONOS", text="mail send limit exceeded"),
    Rule(
        "many: the words of a limit on sending, never those of a mailbox or a size",
        enhanced="|[45][.][03457][.][0-9]+",
        text=r"\brate[ -]?limit(ed|s|ing)?\b|\bsending (rate|quota|limit)s?\b"
        r"|\btoo many (messages|mails|e-?mails)\b"
        r"|\b(hourly|daily) (\w+ ){0,2}(limit|quota)\b|\bmessage rate\b",
    ),
)

# The server refuses our sender, login, host or network: no other recipient would fare better.
ABOUT_US: Final = (
    Rule("RFC 3463: sender's mailbox address", enhanced="[45][.]1[.][78]"),
    Rule("RFC 7372: authentication of our domain, reverse name of our host", enhanced="[45][.]7[.]2[0-7]"),
    Rule("RFC 4954: our login", enhanced="[45][.]7[.]8|5[.]7[.]9"),
    Rule(
        "Postfix, reject_sender_login_mismatch, reject_unknown_sender_domain", text="sender address rejected"
    ),
    Rule("Postfix, smtpd_helo_restrictions", text="helo command rejected"),
    Rule("Postfix, smtpd_client_restrictions", text="client (host|address) rejected"),
    Rule(
        "Postfix, DNS block lists",
        text=r"service unavailable; (client host|helo command|sender address) \S+ blocked",
    ),
    Rule("Postfix, Exim, sendmail, Exchange 5.7.54 and 5.7.64", text=r"\brelay(ing)?( access)? (is )?denied"),
    Rule(
        "Exim, Exchange, qmail", text="relay(ing)? not (permitted|allowed)|unable to relay|allowed rcpthosts"
    ),
    Rule("Postfix, Exchange 5.7.57", text="must issue a starttls|authentication (is )?required"),
    Rule(
        "Exchange, 5.7.57 and 5.7.60", text="client (was not authenticated|does not have permissions) to send"
    ),
    Rule("Exchange Online, 5.2.252", text="sendasdenied"),
    Rule(
        "Exchange Online, NDR 5.7.501 to 5.7.750: our tenant or network",
        enhanced="5[.]7[.](50[1-3]|70[358]|750)",
    ),
    Rule("SendGrid, 403 and 550", text="verified sender identity|not authorized to send from"),
    Rule("Amazon SES, 554", text="sending (suspended|paused) for this account"),
    Rule("Exim", text="sender verify failed"),
)
_LOGIN_CODES: Final = frozenset({530, 534, 535, 538})


def plain(text: str, recipients: Collection[str] = ()) -> str:
    """Return a reply's text in lower case, without the recipients and what stands in angle brackets."""
    text = _BRACKETED.sub("", text.lower())
    for recipient in recipients:
        text = text.replace(recipient.lower(), "")
    return " ".join(text.split())


def is_rate_limit(enhanced: str | None, text: str) -> bool:
    """Return True where the reply says: not so many, or not so quickly. `text` is plain."""
    return any(rule.matches(enhanced, text) for rule in RATE_LIMITS)


def is_about_us(code: int, enhanced: str | None, text: str) -> bool:
    """Return True where the reply refuses our sender, login, host or network. `text` is plain."""
    return code in _LOGIN_CODES or any(rule.matches(enhanced, text) for rule in ABOUT_US)


def names_only_sender(text: str, sender: str, recipients: Collection[str]) -> bool:
    """Return True where the raw text names our sender and no recipient (Amazon SES lists what it refuses)."""
    lower = text.lower()
    return bool(sender) and sender.lower() in lower and not any(each.lower() in lower for each in recipients)


def is_about_recipient(enhanced: str | None) -> bool:
    """Return True where the status speaks of the recipient's address or mailbox."""
    return _OF_RECIPIENT.fullmatch(enhanced or "") is not None


def shape(text: str) -> str:
    """Return what is the same in two replies to different recipients. `text` is plain."""
    return " ".join(_VARYING.sub("", text).split())
