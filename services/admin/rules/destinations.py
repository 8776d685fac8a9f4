"""Who disabled a destination, and which destinations know that a lead was erased. No I/O."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from contracts.lead_events import ERASED
from services.admin.schemas.destinations import LeadDelivery

DISABLED_BY: Final = "disabled by "
"""Begins the reason of a destination that an admin has disabled. Any other reason is that of a failure."""


def disabled_by(reason: str | None) -> str | None:
    """Return the admin who disabled a destination, or None if a response with status 410 disabled it."""
    text = reason or ""
    return text.removeprefix(DISABLED_BY) if text.startswith(DISABLED_BY) else None


@dataclass(frozen=True)
class ErasureNotices:
    """The deliveries of `lead.erased` to the destinations that may have received a lead.

    `informed` are the deliveries that have arrived, `pending` are those that may still arrive, and `failed`
    are those that will not arrive.
    """

    informed: tuple[LeadDelivery, ...] = ()
    pending: tuple[LeadDelivery, ...] = ()
    failed: tuple[LeadDelivery, ...] = ()

    @property
    def count(self) -> int:
        """Return the number of destinations that have to be informed."""
        return len(self.informed) + len(self.pending) + len(self.failed)


def erasure_notices(deliveries: Iterable[LeadDelivery]) -> ErasureNotices:
    """Return the destinations that have been informed of a lead's erasure, and those that have not.

    `deliveries` are all deliveries of the erased lead.
    """
    notices = [each for each in deliveries if each.event == ERASED]
    informed = tuple(each for each in notices if each.state == "delivered")
    failed = tuple(each for each in notices if each.state in ("dead", "suppressed"))
    pending = tuple(each for each in notices if each not in (*informed, *failed))
    return ErasureNotices(informed, pending, failed)


def newest_events_first(deliveries: Iterable[LeadDelivery]) -> list[LeadDelivery]:
    """Return a lead's deliveries, sorted by event and destination, with the newest event first."""
    events = dict[UUID, list[LeadDelivery]]()
    for each in deliveries:
        events.setdefault(each.event_id, []).append(each)
    return [each for event in reversed(events.values()) for each in event]
