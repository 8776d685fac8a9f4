"""Faults of the notifier, each put back into the product: a few schedules must find them."""

from typing import Any, Final

from runtime.failures import PartitionsBusy
from services.notifier import batch_plan
from services.notifier.handlers import Handler
from services.notifier.sending.mail_sender import MailSender
from services.notifier.store import Store
from tests.schedules.known_fault import Broken
from tests.schedules.notifier.smtp_server import FAILURES, PHASES
from tests.schedules.plan import Event

LEADS: Final = ("lead",) * 4


def _body(way: str) -> tuple[float, float]:
    return PHASES.index("body"), FAILURES.index(way)


def _swallow_busy() -> Any:
    handle: Any = Handler._handle

    async def handle_and_go_on(self: Any, records: Any) -> None:
        try:
            await handle(self, records)
        except PartitionsBusy:
            return

    return handle_and_go_on


async def _begin_without_lease(self: Any, delivery: Any) -> None:
    await self._transition((delivery, None))


async def _forget_outcome(self: Any, delivery: Any, outcome: Any) -> None:
    """End a mail whose outcome nobody stores."""
    del outcome
    self._in_progress.mark_committed(delivery.key)


NOTIFIER_BROKEN: Final[dict[str, Broken]] = {
    "leased-records-committed": Broken(
        ((Handler, "_handle", _swallow_busy()),),
        [
            Event(3, "fail_smtp", (*_body("hang"), 20)),
            Event(5, "publish", shapes=LEADS),
            Event(6, "kill", (0, 0.1)),
        ],
        "is stored",
        members=1,
        stage="notifier",
    ),
    "outcome-not-stored": Broken(
        ((MailSender, "commit_outcome", _forget_outcome),),
        [Event(5, "publish", shapes=LEADS)],
        "is stored",
        stage="notifier",
    ),
    "lost-lease-unnoticed": Broken(
        ((Store, "begin_sending", _begin_without_lease),),
        [
            # Its mails are at their envelopes when a member is frozen, until after their leases.
            Event(5, "publish", shapes=LEADS * 4),
            Event(5.1, "slow_network", (8, 500)),
            Event(6.5, "freeze", (0, 57)),
        ],
        "was sent",
        stage="notifier",
        seeds=range(1, 10),
    ),
    "repeated-lead-decides-retry": Broken(
        ((batch_plan, "_is_left_to_its_retry", lambda *_: False),),
        [
            Event(4, "publish", shapes=("greylisted",)),
            Event(4.6, "fail_smtp", (*_body("accept_and_hang"), 20)),
            Event(7, "kill", (0, 0.1)),
            Event(7, "kill", (1, 0.1)),
            Event(8, "publish", shapes=("repeat",)),
            Event(54, "freeze", (1, 7)),  # as the lease ends, the owner of the retry is late
        ],
        "was sent",
        stage="notifier",
        partitions=1,
        batch_records=1,
        seeds=range(1, 10),
    ),
}
