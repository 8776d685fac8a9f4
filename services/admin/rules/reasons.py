"""What a reason means to somebody who sells and has never heard of SMTP or SQL. Pure: words in, words out.

Reasons are our own words and codes. They stay what groups are made of and what operators look for; these
sentences stand before them. A reason that nobody foresaw is told as it is.
"""

import re
from typing import Final

_SMTP: Final = re.compile(
    r"smtp (?P<code>[245]\d\d)(?: [245]\.(?P<enhanced>\d{1,3}\.\d{1,3}))?(?: at (?P<phase>\w+))?$"
)
# RFC 3463, without its first digit: whether a retry can help is told beside.
_ENHANCED: Final = {
    "1.1": "the address does not exist",
    "1.2": "the address names no place that takes mail",
    "1.3": "the address is not written correctly",
    "1.6": "the mailbox has moved",
    "1.10": "the address names no place that takes mail",
    "2.1": "the mailbox is closed",
    "2.2": "the mailbox is full",
    "2.3": "the mail is too long for the mailbox",
    "3.4": "the mail is too long for the mail server",
    "7.1": "the mail server does not accept our mail",
}
_GREYLISTED: Final = "the mail server asks us to come again later"
_EXACTLY: Final = {
    "conflict": "another lead came under the same key",
    "undecodable": "it is no lead that we can read",
    "spam": "the lead looks like spam",
    "erased": "the lead is erased",
    "too many welcomes to this address": "this address was welcomed often enough today",
    "too many welcomes of this site": "the site sent more leads in an hour than are welcomed",
    "address is not valid": "the address is not written correctly",
    "headers are not as meant": "what the lead holds does not fit into a mail",
    "address needs smtputf8, which the mail server lacks": "our mail server cannot write to such an address",
    "process ended after the body may have been written": "our program ended while it was sending",
    "released from spam": "it was held back as spam, and is not any more",
    "requested by an admin": "somebody asked for it",
    "record too large for the topic": "the lead is too large to be passed on",
}
_BEGINNING: Final = {
    "database refused the data": "the database does not accept something in this lead",
    "gateway ": "the gateway did not accept what the website had kept",
    "no site ": "its website is not in the settings any more",
    "bug: ": "a fault in our own program",
    "smtp silent": "the mail server did not answer",
    "smtp tls refused": "no safe connection to the mail server",
    "smtp connection lost": "the connection to the mail server broke",
    "smtp server lacks": "the mail server cannot do what we need",
}
_SPAM: Final = {
    "honeypot": "a field was filled in that people do not see",
    "filled_too_fast": "the form was filled in too fast",
    "form_time_implausible": "the form's time cannot be true",
    "too_many_links": "more links than people send",
    "link_in_name": "a link in the name",
    "link_markup": "links as spammers write them",
    "rate_ip": "too many leads from one connection",
    "rate_email": "too many leads of one address",
}


def explain(reason: str) -> str | None:
    """Return what a reason means, as a part of a sentence; None where it speaks for itself."""
    if match := _SMTP.match(reason):
        return _of_smtp(match["code"], match["enhanced"])
    if known := _EXACTLY.get(reason):
        return known
    return next((said for beginning, said in _BEGINNING.items() if reason.startswith(beginning)), None)


def told(reason: str) -> str:
    """Return a reason with what it means before it."""
    said = explain(reason)
    return f"{said} ({reason})" if said else reason


def spam_word(reason: str) -> str:
    """Say why a lead looks like spam."""
    return _SPAM.get(reason, reason.replace("_", " "))


def _of_smtp(code: str, enhanced: str | None) -> str:
    if code.startswith("2"):
        return "the mail server took the mail"
    later = code.startswith("4")
    if enhanced == "7.1" and later:
        return _GREYLISTED
    if enhanced in _ENHANCED:
        return _ENHANCED[enhanced]
    if code == "552":
        return _ENHANCED["2.2"]
    return _GREYLISTED if later else "the mail server refused the mail"
