"""Generates docs/reasons.md from contracts/reasons.py and the dashboard's words for them."""

from typing import Final

from contracts.reasons import Reason
from services.admin.rules.reasons import WORDS

HEAD: Final = """\
# Reasons

Why a record failed or an email was not sent: the `reason` in the queue, on `leads.failed.v1` and in the audit
log. Generated from `contracts/reasons.py` by `make docs`. The words are the dashboard's. What to do:
[DeadLetters](runbooks/DeadLetters.md).

| reason | meaning |
|---|---|
"""
# The words for these reasons depend on a code.
_BY_CODE: Final = {
    Reason.SMTP_REPLY: "the reply of the mail server: the code says what it means",
    Reason.BOUNCED_WITH: "the email came back: the status (RFC 3463) says why",
}


def reasons_table() -> str:
    """Return the text of docs/reasons.md: every reason, with the words that the dashboard shows for it."""
    return HEAD + "".join(f"| `{each}` | {WORDS.get(each) or _BY_CODE[each]} |\n" for each in Reason)
