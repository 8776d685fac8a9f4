"""Replies whose code is ambiguous: rate limits, and refusals of our own sender, login or host. No I/O.

Each rule names its source. Before the rules are matched, recipients' addresses and text in angle brackets are
removed from the reply, because a visitor could put the words of a rule into an address.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

_BRACKETED: Final = re.compile(r"<[^>]*>")
_VARIABLE: Final = re.compile(r"\S*[\d@]\S*")  # ids, times and addresses
# What a server quotes, and words that name a host, a file or a page.
_QUOTED: Final = re.compile(r"\"[^\"]*\"|(?<!\w)'[^']*'(?!\w)")
_HOST_OR_PATH: Final = re.compile(r"\S*[/\\]\S*|\S+\.\S+")
_WORDS: Final = re.compile(r"[^\W\d_]+")
_STRAY: Final = re.compile(r"(?:(?<=\s)|^)[^\w\s]+(?=\s|$)|[\s:;,=-]+$")
QUOTE_MAX: Final = 120
# RFC 3463: 1.1 to 1.3, 1.6 and 1.10 concern the recipient's address, 2.x the mailbox.
_RECIPIENT_STATUS: Final = re.compile(r"[45]\.(1\.(1|2|3|6|10)|2\.\d{1,3})")


@dataclass(frozen=True)
class ReplyRule:
    """A rule that matches an enhanced status, a text, or both.

    `source` names the document that the rule is from.
    """

    source: str
    enhanced: str = ""
    text: str = ""

    def matches(self, enhanced: str | None, text: str) -> bool:
        """Return True if a reply matches. `text` must be normalized."""
        return (not self.enhanced or re.fullmatch(self.enhanced, enhanced or "") is not None) and (
            not self.text or re.search(self.text, text) is not None
        )


# The provider accepts our mails, but fewer of them or at a lower rate.
RATE_LIMITS: Final = (
    ReplyRule(
        "Amazon SES, SMTP response codes (454)", text="throttling failure|maximum sending rate exceeded"
    ),
    ReplyRule("Amazon SES, sending quotas (454)", text="daily message quota exceeded"),
    ReplyRule("Exchange Online, NDR 5.1.90: recipients of a day", enhanced="5[.]1[.]90"),
    ReplyRule("Exchange Online, NDR 5.2.0: SubmissionQuotaExceededException", text="submissionquotaexceeded"),
    ReplyRule(
        "Exchange Online, NDR 5.7.232 and 5.7.233: external recipients of a day", enhanced="5[.]7[.]23[23]"
    ),
    ReplyRule("Exchange Online, NDR 5.7.508: permitted limits", text="has exceeded permitted limits"),
    ReplyRule(
        "Exchange, 421 4.4.2 and 432 4.3.2",
        text="message submission rate|concurrent connections limit exceeded|sender thread limit exceeded",
    ),
    ReplyRule("Gmail, 550 5.4.5: sending limit of a day", enhanced="5[.]4[.]5"),
    ReplyRule("Gmail, 4.7.28 and 5.7.28: unusual rate", enhanced="[45][.]7[.]28"),
    ReplyRule("Gmail, 421 4.7.0: unusual rate", enhanced="4[.]7[.]0", text="unusual rate|rate limited"),
    ReplyRule("Gmail, 450 4.2.1: limit of the SMTP relay", text="relay limit exceeded"),
    ReplyRule(
        "Gmail and Exchange Online, 452 4.5.3: too many recipients (of a mail to one)", enhanced="4[.]5[.]3"
    ),
    ReplyRule("SendGrid, 451", text="maximum credits exceeded|exceeded your messaging limits"),
    ReplyRule("Postfix, anvil (smtpd.c)", text="error: too (much mail|many (recipients|connections)) from"),
    ReplyRule("cPanel, Exim", text="exceeded the max (emails|defers and failures) per hour"),
    ReplyRule("rspamd, ratelimit module (4.7.1)", text="ratelimit .*exceeded"),
    ReplyRule("IONOS", text="mail send limit exceeded"),
    ReplyRule(
        "many servers: the words of a sending limit, never those of a mailbox or size limit",
        enhanced="|[45][.][03457][.][0-9]+",
        text=r"\brate[ -]?limit(ed|s|ing)?\b|\bsending (rate|quota|limit)s?\b"
        r"|\btoo many (messages|mails|e-?mails)\b"
        r"|\b(hourly|daily) (\w+ ){0,2}(limit|quota)\b|\bmessage rate\b",
    ),
)

# The server refuses our sender, login, host or network, and so every recipient.
SENDER_REFUSALS: Final = (
    ReplyRule("RFC 3463: sender's mailbox address", enhanced="[45][.]1[.][78]"),
    ReplyRule(
        "RFC 7372: authentication of our domain, reverse name of our host", enhanced="[45][.]7[.]2[0-7]"
    ),
    ReplyRule("RFC 4954: our login", enhanced="[45][.]7[.]8|5[.]7[.]9"),
    ReplyRule(
        "Postfix, reject_sender_login_mismatch, reject_unknown_sender_domain", text="sender address rejected"
    ),
    ReplyRule("Postfix, smtpd_helo_restrictions", text="helo command rejected"),
    ReplyRule("Postfix, smtpd_client_restrictions", text="client (host|address) rejected"),
    ReplyRule(
        "Postfix, DNS block lists",
        text=r"service unavailable; (client host|helo command|sender address) \S+ blocked",
    ),
    ReplyRule(
        "Postfix, Exim, sendmail, Exchange 5.7.54 and 5.7.64", text=r"\brelay(ing)?( access)? (is )?denied"
    ),
    ReplyRule(
        "Exim, Exchange, qmail", text="relay(ing)? not (permitted|allowed)|unable to relay|allowed rcpthosts"
    ),
    ReplyRule("Postfix, Exchange 5.7.57", text="must issue a starttls|authentication (is )?required"),
    ReplyRule(
        "Exchange, 5.7.57 and 5.7.60", text="client (was not authenticated|does not have permissions) to send"
    ),
    ReplyRule("Exchange Online, 5.2.252", text="sendasdenied"),
    ReplyRule(
        "Exchange Online, NDR 5.7.501 to 5.7.750: our tenant or network",
        enhanced="5[.]7[.](50[1-3]|70[358]|750)",
    ),
    ReplyRule("SendGrid, 403 and 550", text="verified sender identity|not authorized to send from"),
    ReplyRule("Amazon SES, 554", text="sending (suspended|paused) for this account"),
    ReplyRule("Exim", text="sender verify failed"),
)
_LOGIN_CODES: Final = frozenset({530, 534, 535, 538})


def normalize(text: str, recipients: Collection[str] = ()) -> str:
    """Return a reply's text in lower case, without the recipients and without text in angle brackets."""
    text = _BRACKETED.sub("", text.lower())
    for recipient in recipients:
        text = text.replace(recipient.lower(), "")
    return " ".join(text.split())


def is_rate_limit(enhanced: str | None, text: str) -> bool:
    """Return True if the reply reports a rate limit or quota. `text` must be normalized."""
    return any(rule.matches(enhanced, text) for rule in RATE_LIMITS)


def is_sender_refusal(code: int, enhanced: str | None, text: str) -> bool:
    """Return True if the reply refuses our sender, login, host or network. `text` must be normalized."""
    return code in _LOGIN_CODES or any(rule.matches(enhanced, text) for rule in SENDER_REFUSALS)


def names_only_sender(text: str, sender: str, recipients: Collection[str]) -> bool:
    """Return True if a reply contains our sender's address, but no recipient's address.

    Amazon SES lists the addresses that it refuses, so such a reply is a refusal of our sender. `text` must
    not be normalized.
    """
    lower = text.lower()
    return bool(sender) and sender.lower() in lower and not any(each.lower() in lower for each in recipients)


def is_recipient_status(enhanced: str | None) -> bool:
    """Return True if the enhanced status concerns the recipient's address or mailbox."""
    return _RECIPIENT_STATUS.fullmatch(enhanced or "") is not None


def strip_variable_words(text: str) -> str:
    """Return the text without words that vary between replies: ids, times and addresses."""
    return " ".join(_VARIABLE.sub("", text).split())


def quotable_text(text: str, recipients: Collection[str] = ()) -> str:
    """Return the words of a reply that are the same for each email, in at most `QUOTE_MAX` characters.

    Equal faults give equal texts, so that they can be counted. The text names no person: recipients, the
    words of their local parts, addresses, ids, times, host names and what the server puts in quotation marks
    are removed. `text` must not be normalized.
    """
    text = _BRACKETED.sub(" ", text)
    text = _QUOTED.sub(" ", text)
    for recipient in recipients:
        text = re.sub(re.escape(recipient), " ", text, flags=re.IGNORECASE)
    text = _HOST_OR_PATH.sub(" ", _VARIABLE.sub(" ", text))
    names = {
        word.casefold() for recipient in recipients for word in _WORDS.findall(recipient.rpartition("@")[0])
    }
    text = _WORDS.sub(lambda match: " " if match.group().casefold() in names else match.group(), text)
    text = " ".join(_STRAY.sub(" ", " ".join(text.split())).split())
    return text if len(text) <= QUOTE_MAX else text[: QUOTE_MAX - 1] + "…"
