"""Explains the reasons in `contracts.reasons` to people who know neither SMTP nor SQL. No I/O.

Operators group and search by reasons, so pages show the explanation before the reason, not instead of it. A
reason that is not in the enum is shown without an explanation.
"""

import re
from typing import Final

from contracts.reasons import Reason
from services.admin.texts import gettext, gettext_noop

# RFC 3463 without the first digit, which says whether a retry can help.
_ENHANCED: Final = {
    "1.1": gettext_noop("the address does not exist"),
    "1.2": gettext_noop("the email domain does not accept mail"),
    "1.3": gettext_noop("the address is not valid"),
    "1.6": gettext_noop("the mailbox has moved"),
    "1.10": gettext_noop("the email domain does not accept mail"),
    "2.1": gettext_noop("the mailbox is closed"),
    "2.2": gettext_noop("the mailbox is full"),
    "2.3": gettext_noop("the email is too long for the mailbox"),
    "3.4": gettext_noop("the email is too long for the mail server"),
    "7.1": gettext_noop("the mail server does not accept our email"),
}
ADDRESS_STATUSES: Final = re.compile(r"5\d\d 5\.(?:1\.(?:1|2|3|6|10)|2\.\d+)\b")
"""Replies about the recipient's address or mailbox (RFC 3463)."""
_DEFERRED: Final = gettext_noop("temporarily deferred by the mail server")
# `SMTP_REPLY` and `BOUNCED_WITH` are missing: their words depend on the code.
WORDS: Final = {
    Reason.UNDECODABLE: gettext_noop("the record is not a valid lead"),
    Reason.CONFLICT: gettext_noop("another lead was sent with the same request number"),
    Reason.TOO_MANY_UNDECODABLE: gettext_noop("too many records were not valid leads"),
    Reason.DATA_REFUSED: gettext_noop("the database does not accept a value of this lead"),
    Reason.DATABASE_ANSWERED: gettext_noop("the database answered with an error"),
    Reason.BUG: gettext_noop("an error in FASTCore"),
    Reason.RECORD_TOO_LARGE: gettext_noop("the lead is too large for Kafka"),
    Reason.FAILURE_UNDECODABLE: gettext_noop("the description of the failure is not readable"),
    Reason.FAILURE_NOT_STORED: gettext_noop("the failure could not be stored as it was reported"),
    Reason.QUEUE_ROW_MISSING: gettext_noop("the failed delivery was not found"),
    Reason.GATEWAY_REFUSED: gettext_noop("the gateway refused fields of the lead that a website sent"),
    Reason.SITE_NOT_CONFIGURED: gettext_noop("its website is no longer in the settings"),
    Reason.SPAM: gettext_noop("the lead looks like spam"),
    Reason.HELD: gettext_noop("the lead is held: it came beyond a limit"),
    Reason.ERASED: gettext_noop("the lead is erased"),
    Reason.TOO_MANY_TO_MAILBOX: gettext_noop("this address already got the most confirmations for one day"),
    Reason.TOO_MANY_OF_SITE: gettext_noop("this site already sent the most confirmations for one hour"),
    Reason.NO_ADDRESS: gettext_noop("the visitor gave no email address"),
    Reason.ADDRESS_INVALID: gettext_noop("the address is not valid"),
    Reason.ADDRESS_BOUNCED: gettext_noop("an earlier email to this address came back"),
    Reason.ADDRESS_COMPLAINED: gettext_noop("this person reported an earlier email of this site as spam"),
    Reason.ADDRESS_SUPPRESSED: gettext_noop("the address is on the suppression list"),
    Reason.HEADERS_INVALID: gettext_noop("the lead's values do not fit into an email"),
    Reason.SMTPUTF8_MISSING: gettext_noop("our mail server cannot send to such an address"),
    Reason.SMTP_SILENT: gettext_noop("the mail server did not answer"),
    Reason.SMTP_TLS_REFUSED: gettext_noop("no secure connection to the mail server"),
    Reason.SMTP_CONNECTION_LOST: gettext_noop("the connection to the mail server was lost"),
    Reason.SMTP_SERVER_LACKS: gettext_noop("the mail server lacks a feature that we need"),
    Reason.RECIPIENTS_REFUSED: gettext_noop("the mail server refused some recipients"),
    Reason.PROCESS_DIED: gettext_noop("the sending was interrupted, so its outcome is unknown"),
    Reason.BOUNCED: gettext_noop("the email came back"),
    Reason.COMPLAINED: gettext_noop("the recipient reported the email as spam"),
    Reason.DESTINATION_ANSWERED: gettext_noop("the destination did not accept it"),
    Reason.DESTINATION_LACKS_TEXT: gettext_noop("the destination answered, but did not confirm it"),
    Reason.DESTINATION_SILENT: gettext_noop("the destination did not answer in time"),
    Reason.DESTINATION_NAME_UNKNOWN: gettext_noop("the destination's host name is not known"),
    Reason.DESTINATION_CERTIFICATE: gettext_noop("the destination's certificate is not valid"),
    Reason.DESTINATION_NOT_PUBLIC: gettext_noop(
        "the destination is on a private network or this machine, and its settings lack allow_private"
    ),
    Reason.DESTINATION_UNREACHABLE: gettext_noop("the destination accepts no connection"),
    Reason.DESTINATION_BROKE_OFF: gettext_noop("the destination broke off its response"),
    Reason.PROCESS_DIED_SENDING: gettext_noop("the service ended during each attempt"),
    Reason.TEMPLATE_MISSING: gettext_noop("the destination's settings have no request for erasures"),
    Reason.TEMPLATE_FAILED: gettext_noop("the template in the destination's settings failed"),
    Reason.RELEASED_FROM_SPAM: gettext_noop("the lead was marked as spam and no longer is"),
    Reason.RELEASED_FROM_HOLD: gettext_noop("the lead was held and is released"),
    Reason.REQUESTED_BY_ADMIN: gettext_noop("an admin requested it"),
}
_SPAM: Final = {
    "honeypot": gettext_noop("a hidden field was filled in"),
    "filled_too_fast": gettext_noop("the form was filled in too fast"),
    "form_time_implausible": gettext_noop("the time of the form is implausible"),
    "too_many_links": gettext_noop("more links than usual"),
    "link_in_name": gettext_noop("a link in the name"),
    "link_markup": gettext_noop("links in markup that spam uses"),
    "captcha_missing": gettext_noop("the form was sent without its captcha"),
    "captcha_failed": gettext_noop("the captcha was not solved"),
    "captcha_unverified": gettext_noop("the captcha's provider did not answer"),
    "rate_ip": gettext_noop("too many leads from one connection"),
    "rate_email": gettext_noop("too many leads from one address"),
    "rate_site": gettext_noop("too many leads from the forms of this site"),
}


def explain(reason: str) -> str | None:
    """Return a reason's explanation, or None if the reason is not in the enum.

    The explanation begins with a lower-case letter and does not end with a period.
    """
    match Reason.match(reason):
        case Reason.SMTP_REPLY, values:
            return gettext(_explain_reply(values["code"] or "", values["enhanced"]))
        case Reason.BOUNCED_WITH, values:
            return gettext(_ENHANCED.get(values["enhanced"] or "", WORDS[Reason.BOUNCED]))
        case known, _:
            return gettext(WORDS[known])
        case _:
            return None


def concerns_address(reason: str) -> bool:
    """Return True if an email failed because of its recipient's address. An edit of the address may help."""
    match Reason.match(reason):
        case ((Reason.ADDRESS_INVALID | Reason.SMTPUTF8_MISSING), _):
            return True
        case Reason.SMTP_REPLY, {"code": str(code), "enhanced": enhanced, "phase": "rcpt"}:
            # RFC 3463: 1.* is about the address, 2.1 is a closed mailbox.
            return code.startswith("5") and (enhanced is None or enhanced.startswith(("1.", "2.1")))
        case Reason.BOUNCED_WITH, {"enhanced": str(enhanced)}:
            return enhanced.startswith(("1.", "2.1"))
        case _:
            return False


def with_words(reason: str) -> str:
    """Return `explanation (reason)`, or the reason alone if it has no explanation."""
    words = explain(reason)
    return f"{words} ({reason})" if words else reason


def spam_word(reason: str) -> str:
    """Return the explanation of a spam reason, such as `honeypot`."""
    return gettext(_SPAM[reason]) if reason in _SPAM else reason.replace("_", " ")


def _explain_reply(code: str, enhanced: str | None) -> str:
    if code.startswith("2"):
        return gettext_noop("the mail server accepted the email")
    later = code.startswith("4")
    if enhanced == "7.1" and later:
        return _DEFERRED
    if enhanced in _ENHANCED:
        return _ENHANCED[enhanced]
    if code == "552":
        return _ENHANCED["2.2"]
    return _DEFERRED if later else gettext_noop("the mail server refused the email")
