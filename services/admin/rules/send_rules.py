"""Which leads an admin can send to a destination. No I/O."""

from collections.abc import Mapping
from typing import Any, Final

from contracts.lead_events import RECEIVED, UNSENT
from contracts.leads import LeadStatus
from runtime.sites.destinations import Destination
from services.admin.texts import gettext, gettext_noop

NOT_RELEASED: Final = gettext_noop("Spam and held leads are not sent. Release the lead first.")


def send_refusal(destination: Destination | None, lead: Mapping[str, Any]) -> str | None:
    """Return why a lead cannot be sent to a destination, or None if it can.

    `destination` is None if the sites file no longer has it. `lead` has `status` and `site`.
    """
    status = LeadStatus(lead["status"])
    if destination is None:
        return gettext("The sites file has no destination with this name.")
    if status is LeadStatus.ERASED:
        return gettext("Its personal data is deleted.")
    if status in UNSENT:
        return gettext(NOT_RELEASED)
    if RECEIVED not in destination.events:
        return gettext("The destination does not receive leads: its events lack lead.received.")
    if not destination.receives(lead["site"], RECEIVED):
        return gettext("The destination does not receive leads of this website.")
    return None
