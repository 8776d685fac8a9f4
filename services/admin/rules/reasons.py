"""Explains the reasons in `contracts.reasons` to people who know neither SMTP nor SQL. No I/O.

Operators group and search by reasons, so pages show the explanation before the reason, not instead of it. A
reason that is not in the enum is shown without an explanation.
"""

from typing import Final

from contracts.reasons import Reason

# RFC 3463 without the first digit, which says whether a retry can help.
_ENHANCED: Final = {
    "1.1": "the address does not exist",
    "1.2": "the email domain does not accept mail",
    "1.3": "the address is not valid",
    "1.6": "the mailbox has moved",
    "1.10": "the email domain does not accept mail",
    "2.1": "the mailbox is closed",
    "2.2": "the mailbox is full",
    "2.3": "the email is too long for the mailbox",
    "3.4": "the email is too long for the mail server",
    "7.1": "the mail server does not accept our email",
}
_DEFERRED: Final = "temporarily deferred by the mail server"
# `SMTP_REPLY` is missing: its words depend on the code.
WORDS: Final = {
    Reason.UNDECODABLE: "the record is not a valid lead",
    Reason.CONFLICT: "another lead was sent with the same request number",
    Reason.TOO_MANY_UNDECODABLE: "too many records were not valid leads",
    Reason.DATA_REFUSED: "the database does not accept a value of this lead",
    Reason.DATABASE_ANSWERED: "the database refused to store this lead",
    Reason.BUG: "an error in FASTCore",
    Reason.RECORD_TOO_LARGE: "the lead is too large for Kafka",
    Reason.FAILURE_UNDECODABLE: "the description of the failure is not readable",
    Reason.FAILURE_NOT_STORED: "the failure could not be stored as it was reported",
    Reason.QUEUE_ROW_MISSING: "the failed delivery was not found",
    Reason.GATEWAY_REFUSED: "the gateway refused what the website had queued",
    Reason.SITE_NOT_CONFIGURED: "its website is no longer in the settings",
    Reason.SPAM: "the lead looks like spam",
    Reason.HELD: "the lead is held: it came beyond a limit",
    Reason.ERASED: "the lead is erased",
    Reason.TOO_MANY_TO_MAILBOX: "this address already got the most confirmations for one day",
    Reason.TOO_MANY_OF_SITE: "this site already sent the most confirmations for one hour",
    Reason.NO_ADDRESS: "the visitor gave no email address",
    Reason.ADDRESS_INVALID: "the address is not valid",
    Reason.HEADERS_INVALID: "the lead's values do not fit into an email",
    Reason.SMTPUTF8_MISSING: "our mail server cannot send to such an address",
    Reason.SMTP_SILENT: "the mail server did not answer",
    Reason.SMTP_TLS_REFUSED: "no secure connection to the mail server",
    Reason.SMTP_CONNECTION_LOST: "the connection to the mail server was lost",
    Reason.SMTP_SERVER_LACKS: "the mail server lacks a feature that we need",
    Reason.RECIPIENTS_REFUSED: "the mail server refused some recipients",
    Reason.PROCESS_DIED: "the sending was interrupted, so its outcome is unknown",
    Reason.DESTINATION_ANSWERED: "the destination did not accept it",
    Reason.DESTINATION_SILENT: "the destination did not answer in time",
    Reason.DESTINATION_NAME_UNKNOWN: "the destination's host name is not known",
    Reason.DESTINATION_CERTIFICATE: "the destination's certificate is not valid",
    Reason.DESTINATION_NOT_PUBLIC: "the destination is on a private network, which its settings do not allow",
    Reason.DESTINATION_UNREACHABLE: "the destination accepts no connection",
    Reason.DESTINATION_BROKE_OFF: "the destination broke off its response",
    Reason.PROCESS_DIED_SENDING: "the service ended during each attempt",
    Reason.TEMPLATE_MISSING: "the destination's settings have no request for erasures",
    Reason.TEMPLATE_FAILED: "the template in the destination's settings failed",
    Reason.RELEASED_FROM_SPAM: "the lead was marked as spam and no longer is",
    Reason.RELEASED_FROM_HOLD: "the lead was held and is released",
    Reason.REQUESTED_BY_ADMIN: "an admin requested it",
}
_SPAM: Final = {
    "honeypot": "a hidden field was filled in",
    "filled_too_fast": "the form was filled in too fast",
    "form_time_implausible": "the time of the form is implausible",
    "too_many_links": "more links than usual",
    "link_in_name": "a link in the name",
    "link_markup": "links in markup that spam uses",
    "captcha_missing": "the form was sent without its captcha",
    "captcha_failed": "the captcha was not solved",
    "captcha_unverified": "the captcha's provider did not answer",
    "rate_ip": "too many leads from one connection",
    "rate_email": "too many leads from one address",
    "rate_site": "too many leads from the forms of this site",
}


def explain(reason: str) -> str | None:
    """Return a reason's explanation, or None if the reason is not in the enum.

    The explanation begins with a small letter and has no period.
    """
    match Reason.match(reason):
        case Reason.SMTP_REPLY, values:
            return _explain_reply(values["code"] or "", values["enhanced"])
        case known, _:
            return WORDS[known]
        case _:
            return None


def with_words(reason: str) -> str:
    """Return `explanation (reason)`, or the reason alone if it has no explanation."""
    words = explain(reason)
    return f"{words} ({reason})" if words else reason


def spam_word(reason: str) -> str:
    """Return the explanation of one of a lead's spam reasons, such as `honeypot`."""
    return _SPAM.get(reason, reason.replace("_", " "))


def _explain_reply(code: str, enhanced: str | None) -> str:
    if code.startswith("2"):
        return "the mail server accepted the email"
    later = code.startswith("4")
    if enhanced == "7.1" and later:
        return _DEFERRED
    if enhanced in _ENHANCED:
        return _ENHANCED[enhanced]
    if code == "552":
        return _ENHANCED["2.2"]
    return _DEFERRED if later else "the mail server refused the email"
