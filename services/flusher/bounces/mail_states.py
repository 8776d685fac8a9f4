"""Decides what a mail event changes in a row of `email_delivery`. No I/O, no clock."""

import re
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from pydantic import ValidationError

from contracts.failures import Kind
from contracts.mail_events import MailEvent, MailEventType, mail_tag
from contracts.reasons import Reason
from runtime.database.suppressed_addresses import SuppressionReason
from runtime.kafka.handler import Record
from runtime.mailbox import mailbox_key

# The states of an email that a server may have accepted. In `sending`, the process that sent it has died.
_MAYBE_ACCEPTED: Final = ("sent", "unknown", "waiting", "sending")

# The queue id in the replies of Postfix, of Exim, of Gmail, and of Sendmail or OpenSMTPD.
_ACCEPTED: Final = re.compile(
    r"queued as ([\w.-]+)|\bid=([\w.-]+)|([\w.-]+) - gsmtp|([\w.-]+) Message accepted for delivery",
    re.IGNORECASE,
)


@dataclass
class SentMail:
    """A row of `email_delivery`. `mailbox` is None for an alert, and for an erased lead."""

    state: str
    mailbox: str | None
    site: str | None
    lease_seconds: float
    lead_id: UUID
    kind: Kind
    message_id: str
    answer: str

    def is_of(self, event: MailEvent) -> bool:
        """Return False if the event is about a digest, and the last email of this alert is another one."""
        digest = event.digest_id
        return digest is None or self.message_id.startswith(f"<{mail_tag(digest, 'alert_digest')}@")

    def is_proven_by(self, event: MailEvent) -> bool:
        """Return True if a report quotes the id that our mail server gave the email when it accepted it.

        The Message-ID proves nothing: whoever submits a form with somebody else's address may learn the
        lead's id, and so the Message-ID. The first event replaces `answer` by the text of its report.
        """
        accepted = self.state in _MAYBE_ACCEPTED and _ACCEPTED.search(self.answer)
        return bool(accepted and next(filter(None, accepted.groups())).rstrip(".") in event.queue_ids)

    @property
    def is_in_progress(self) -> bool:
        """Return True if a process is sending the email now. Its outcome is not committed yet."""
        return self.state in ("reserved", "sending") and self.lease_seconds > 0


def decode_event(record: Record) -> MailEvent | None:
    """Return the event in a record of `mail.events.v1`, or None if it cannot be decoded."""
    try:
        return MailEvent.model_validate_json(record.value or b"")
    except ValidationError:
        return None


def next_state(state: str, event: MailEventType) -> MailEventType | None:
    """Return the state that an event causes, or None if the state stays.

    The order of events makes no difference: after a complaint, a bounce changes nothing.
    """
    if state in _MAYBE_ACCEPTED or (state == "bounced" and event == "complained"):
        return event
    return None


def reason_of(event: MailEvent) -> str:
    """Return the reason to store with the email. It has no personal data."""
    if event.type == "complained":
        return Reason.COMPLAINED
    # The enhanced status of a success, which some servers report for a bounce, explains nothing.
    if event.enhanced and not event.enhanced.startswith("2"):
        return Reason.BOUNCED_WITH.format(bounce=event.enhanced)
    return Reason.BOUNCED


def suppression_of(event: MailEvent, mail: SentMail) -> tuple[str, str | None, SuppressionReason] | None:
    """Return the mailbox to suppress, its site (None: all sites) and the reason, or None.

    Only visitors' mailboxes are suppressed. A report must prove that it is about the email (`is_proven_by`).
    If the event names another recipient than the email's, nothing is suppressed: the address was corrected
    meanwhile, or forwards its mail.
    """
    if event.kind != "welcome" or mail.mailbox is None:
        return None
    if event.source == "report" and not mail.is_proven_by(event):
        return None
    if event.recipient and mailbox_key(event.recipient) != mail.mailbox:
        return None
    if event.type == "complained":
        return mail.mailbox, mail.site, "complained"
    return (mail.mailbox, None, "bounced") if event.hard else None


MailKey = tuple[UUID, str]
