"""Converts deliveries to values for the columns of `email_delivery` and `audit_log`. No I/O."""

from collections.abc import Sequence
from typing import Any, Final

from contracts.audit import AuditEvent
from contracts.leads import LeadReceived
from runtime.mailbox import mailbox_key
from services.notifier.alert_collection import Group
from services.notifier.deliveries import Delivery
from services.notifier.mail.identities import Identities
from services.notifier.smtp.outcome import MailStatus

# The audit event of each status that is stored as the outcome of a mail.
AUDIT_EVENTS: Final[dict[str, AuditEvent]] = {
    MailStatus.SENT: AuditEvent.EMAIL_SENT,
    MailStatus.WAITING: AuditEvent.EMAIL_FAILED,
    MailStatus.DEAD: AuditEvent.EMAIL_FAILED,
    MailStatus.UNKNOWN: AuditEvent.EMAIL_UNKNOWN,
    MailStatus.SUPPRESSED: AuditEvent.EMAIL_SUPPRESSED,
}


def storable(text: str) -> str:
    """Return a text that PostgreSQL can store. NUL is removed, and each lone surrogate becomes "?"."""
    return text.replace("\x00", "").encode(errors="replace").decode()


def recipient_of(delivery: Delivery, identities: Identities) -> str | None:
    """Return the value of the column `recipient`.

    For a welcome, this is the visitor's address in lower case, because the dashboard searches in lower case.
    For an alert, it is the list of the admins' addresses. If the lead has no address, the welcome is
    suppressed, and its recipient is None.
    """
    if delivery.kind == "welcome":
        return storable(delivery.lead.email.lower()) if delivery.lead.email else None
    return group_of(delivery.lead, identities)[1]


def group_of(lead: LeadReceived, identities: Identities) -> Group:
    """Return the site of a lead and the recipients of its alert, as `email_delivery` has them."""
    return storable(lead.site), ", ".join(identities.of(lead.site).admins_for(lead))


def mailbox_of(delivery: Delivery) -> str | None:
    """Return the key of the visitor's mailbox (see `mailbox_key`) if the delivery is a welcome.

    Returns None for an alert, and for a lead without an address.
    """
    email = delivery.lead.email
    return storable(mailbox_key(email)) if delivery.kind == "welcome" and email else None


def key_columns(deliveries: Sequence[Delivery]) -> dict[str, list[Any]]:
    """Return the query parameters `lead_ids` and `kinds` of these deliveries."""
    return {
        "lead_ids": [each.lead.lead_id for each in deliveries],
        "kinds": [each.kind for each in deliveries],
    }
