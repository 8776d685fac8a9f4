"""Which leads a bulk change can change. No I/O."""

from collections.abc import Mapping

from contracts.leads import LeadStatus
from services.admin.rules.errors import ConflictError
from services.admin.rules.lead_rules import check_status_change
from services.admin.schemas.bulk_changes import BulkAction, BulkState, RefusedGroup
from services.admin.texts import gettext


def refusal(action: BulkAction, value: str | None, status: LeadStatus) -> str | None:
    """Return why the action cannot change a lead with this status; None if it can."""
    try:
        if action == "status":
            check_status_change(status, LeadStatus(value or ""), None)
        elif action == "assign" and status is LeadStatus.ERASED:
            return gettext("The lead is erased and cannot be changed.")
    except ConflictError as error:
        return str(error)
    return None


def refused_groups(
    action: BulkAction, value: str | None, counts: Mapping[LeadStatus, int]
) -> list[RefusedGroup]:
    """Return the leads that the action cannot change, grouped by status, with the reasons.

    `counts` has the number of leads by status.
    """
    return [
        RefusedGroup(status=status, leads=leads, why=why)
        for status, leads in counts.items()
        if (why := refusal(action, value, status))
    ]


def nothing_to_cancel(state: BulkState) -> str:
    """Return the message that explains why an action in this state cannot be cancelled."""
    if state == "cancelled":
        return gettext("The action is cancelled: there is nothing left to cancel.")
    return gettext("The action is finished: there is nothing left to cancel.")


def is_unchanged(action: BulkAction, value: str | None, status: LeadStatus, assignee: str | None) -> bool:
    """Return True if the action would change nothing in a lead with this status and assignee."""
    if action == "status":
        return status == value
    if action == "assign":
        return (assignee or None) == value
    return status is LeadStatus.ERASED
