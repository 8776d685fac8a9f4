"""Faults of the webhooks service, each put back into the product: a few schedules must find them."""

from dataclasses import replace
from typing import Any, Final

from contracts.lead_events import RECEIVED
from runtime.database.lead_events import NewEvent
from services.webhooks import events, sender, store
from services.webhooks.retry_schedule import MAX_RETRY_AFTER
from services.webhooks.sender import Sender
from tests.schedules.known_fault import Broken
from tests.schedules.plan import Event
from tests.schedules.webhooks.faults import CHANGES
from tests.schedules.webhooks.receivers import ADDRESSES, FAILURES

LEADS: Final = ("lead",) * 8
_SPAM: Final = float(CHANGES.index("spam"))
_CONTACTED: Final = float(CHANGES.index("contacted"))


def _failing(name: str, way: str) -> tuple[float, float]:
    return float(list(ADDRESSES).index(name)), float(FAILURES.index(way))


async def _nothing(*_: Any, **__: Any) -> None: ...


async def _zero(*_: Any, **__: Any) -> int:
    return 0


def _mark_changes_only(event: NewEvent, **changes: Any) -> NewEvent:
    """Treat a lead that was made from its row as one of a record."""
    return event if event.type == RECEIVED else replace(event, **changes)


WEBHOOKS_BROKEN: Final[dict[str, Broken]] = {
    "events-not-stored": Broken(
        ((store, "insert_events", _nothing),),
        [Event(5, "publish", shapes=LEADS)],
        "is stored",
        stage="webhooks",
    ),
    "each-process-sends-eight": Broken(
        ((store.SQL, "count_sending", _zero),),
        [
            Event(4, "fail_receiver", (*_failing("crm", "hang"), 10)),
            Event(5, "publish", shapes=LEADS * 3),
        ],
        "requests at once",
        stage="webhooks",
    ),
    "requests-not-drained": Broken(
        ((Sender, "drain", _nothing),),
        [
            *(Event(5 + 0.1 * n, "publish", shapes=("lead",)) for n in range(20)),
            *(Event(5.13 + 0.5 * n, "restart", (n % 2, 0.1)) for n in range(4)),
        ],
        "again, though",
        stage="webhooks",
        seeds=range(1, 20),
    ),
    "rate-limit-outlives-pause": Broken(
        ((sender, "RATE_LIMIT_PAUSE", MAX_RETRY_AFTER),),
        [
            Event(4, "fail_receiver", (*_failing("crm", "limit_for_long"), 5)),
            Event(5, "publish", shapes=("lead",)),
        ],
        "is still failed",
        stage="webhooks",
        members=1,
    ),
    "spam-during-storing-unheard": Broken(
        ((store.SQL, "wait_for_records", store.SQL.wait_for_changes),),
        [
            Event(5, "publish", shapes=LEADS),
            *(Event(5 + 0.05 * n, "change_lead", (n, _SPAM)) for n in range(8)),
        ],
        "does not hear",
        stage="webhooks",
        members=3,
        seeds=range(2, 40),
    ),
    "change-without-lead": Broken(
        ((events, "replace", _mark_changes_only),),
        [
            # Members that may have the leads stand still, while another one stores their changes for seconds.
            *(Event(4.9, "freeze", (member, 9)) for member in (1, 2)),
            Event(5, "publish", shapes=LEADS * 3),
            *(Event(5.2 + 0.005 * n, "change_lead", (n, _CONTACTED)) for n in range(24)),
            Event(5.45, "slow_database", (9, 200)),
            *(Event(5.7 + 0.2 * n, "change_lead", (n, _SPAM)) for n in range(24)),
        ],
        "without the lead",
        stage="webhooks",
        members=3,
        seeds=(9, *range(10, 40)),
    ),
}
