"""Faults that were found on real brokers, each put back into the product: a few schedules must find them."""

import asyncio
import contextlib
from collections.abc import Iterator
from functools import partial
from typing import Any, Final
from unittest import mock

from runtime.kafka import consumer, offset_commits, positions, prefetch, reconcile
from runtime.kafka.batch_processor import BatchProcessor
from runtime.kafka.policy import Policy
from runtime.workarounds import aiokafka as workarounds
from runtime.workarounds import faststream as faststream_workarounds
from services.persister import app as persister_app
from services.persister.handlers import Handler
from tests.schedules.flusher.broken import FLUSHER_BROKEN
from tests.schedules.known_fault import Broken
from tests.schedules.notifier.broken import NOTIFIER_BROKEN
from tests.schedules.plan import Event
from tests.schedules.stages import STAGES
from tests.schedules.webhooks.broken import WEBHOOKS_BROKEN
from tests.schedules.world import run_plan

LEADS: Final = ("lead",) * 8
_MIXED: Final = (
    "conflict", "poison", "lead", "lead", "lead", "null", *("lead",) * 5, "repeat", "repeat", "lead", "lead",
    "repeat", "refused", "repeat", "lead", "lead",
)  # fmt: skip
_confirm: Any = prefetch.FetchGaps.confirm


async def _nothing(*_: Any, **__: Any) -> None: ...


def _commit_before_write() -> Any:
    process: Any = consumer.Consumer._process

    async def commit_first(self: Any, handler: Any, records: Any) -> None:
        self._commits.add(self._connection.consumer, records)
        await process(self, handler, records)

    return commit_first


async def _work_without_polling(_: Any, work: Any, room: int = 0) -> Any:
    del room
    return await work


async def _no_rewind(*_: Any) -> dict[Any, int]:
    return {}


def _confirm_and_allow_gap(self: Any, consumer: Any) -> None:
    _confirm(self, consumer)
    self._may_be_late = True


# Members join and leave while leads arrive.
_CHURN: Final = [
    *(Event(5.0 + 4 * n, "join", (3.0,)) for n in range(4)),
    *(Event(4.0 + 0.05 * n, "publish", shapes=("lead",) * 4) for n in range(320)),
]

BROKEN: Final[dict[str, Broken]] = {
    "commit-before-write": Broken(
        ((consumer.Consumer, "_process", _commit_before_write()),),
        [Event(5, "publish", shapes=LEADS)],
        "is stored",
    ),
    "commits-outlive-rebalance": Broken(
        ((offset_commits.OffsetCommits, "flush", _nothing),), _CHURN, "reads it again", seeds=(2, 23)
    ),
    "prefetched-records-outlive-rebalance": Broken(
        ((prefetch.Prefetcher, "discard", lambda _: None),), _CHURN, "another member owns", seeds=(1, 20)
    ),
    "lost-log-tail-unnoticed": Broken(
        ((positions.Position, "is_another_log", property(lambda _: False)),),
        [
            Event(5, "publish", shapes=LEADS),
            Event(8, "lose_log_tail", (5, 6)),
            Event(9, "publish", shapes=("lead",) * 3),
        ],
        "leads.received",
        partitions=1,
    ),
    "rollback-unnoticed": Broken(
        ((reconcile.Reconciler, "_rewind_group", _no_rewind),),
        [Event(5, "fail_over_database", (3, 2)), Event(5.5, "publish", shapes=LEADS)],
        "lost",
    ),
    "paused-for-ever": Broken(
        ((prefetch.Prefetcher, "_resume", lambda _: None),),
        [Event(4, "stop_database", (5,)), Event(5, "publish", shapes=LEADS)],
        "left the group",  # the watchdog ends the process
    ),
    "poison-skipped": Broken(
        ((Handler, "_publish_failure", _nothing),),
        [Event(5, "publish", shapes=("lead", "poison", "null", "lead"))],
        "no failure was published",
    ),
    "coordinator-error-is-no-offset": Broken(
        ((workarounds, "_send_and_raise_error", workarounds._send),),
        [
            Event(5, "publish", shapes=LEADS),
            Event(7.9, "restart", (0, 0.1)),
            *(Event(8 + 0.05 * n, "load_groups", (0.02,)) for n in range(60)),
        ],
        "reads it again",
        members=1,
    ),
    "refused-record-rewinds": Broken(
        ((BatchProcessor, "_is_after_refused", lambda *_: False),),
        [Event(5, "publish", shapes=("refused", *LEADS)), Event(7, "publish", shapes=LEADS)],
        "misses",
        seeds=range(1, 10),
    ),
    "no-polls-while-handling": Broken(
        (
            (prefetch.Prefetcher, "run_while_polling", _work_without_polling),
            (persister_app, "Policy", partial(Policy, max_poll_seconds=6.0)),
        ),
        [Event(5, "hang_database", (18,)), Event(4.9, "publish", shapes=LEADS)],
        "left the group",
        seeds=range(1, 40),
    ),
    "gap-after-comparison-unnoticed": Broken(
        ((prefetch.FetchGaps, "confirm", _confirm_and_allow_gap),),
        [
            # The database refuses a lead, so the ledger is compared. Then the log loses its tail, before the
            # first fetch is answered. The next lead has an offset that the ledger has counted before.
            Event(6.66, "publish", shapes=_MIXED),
            Event(9.2, "lose_log_tail", (14, 4.01)),
            Event(25.65, "publish", shapes=("lead",)),
        ],
        "records as stored",
        nodes=3,
        partitions=1,
        batch_records=1,
        seeds=(3889,),
    ),
    "stop-cancels-itself": Broken(
        (
            (workarounds, "stop_within", asyncio.wait_for),
            (faststream_workarounds, "stop_within", asyncio.wait_for),
        ),
        [
            # No broker answers for a minute, so the consumer is replaced. Its stop hangs at the coordinator.
            # Fetches from the other broker fail, so one waits for its next try when the consumer is closed.
            Event(5, "publish", shapes=LEADS),
            Event(8, "silence_broker", (0, 100)),
            Event(8, "stop_broker", (1, 100, 0)),
        ],
        "background work failed: CancelledError",
        partitions=4,
        nodes=2,
    ),
    **NOTIFIER_BROKEN,
    **WEBHOOKS_BROKEN,
    **FLUSHER_BROKEN,
}


@contextlib.contextmanager
def broken(name: str) -> Iterator[None]:
    """Break the product in this way while the body runs; with an empty name, leave it as it is."""
    with contextlib.ExitStack() as patches:
        for owner, attribute, value in BROKEN[name].patches if name else ():
            patches.enter_context(mock.patch.object(owner, attribute, value))
        yield


def find(name: str) -> tuple[int, str]:
    """Return the seed that finds this fault, and the violation. Raises `AssertionError` if none does.

    Checks too that the product, without the fault, keeps every promise in the same schedule.
    """
    fault = BROKEN[name]
    for seed in fault.seeds:
        with broken(name):
            violations = run_plan(fault.plan(seed), STAGES[fault.stage]).violations
        shown = [each for each in violations if fault.shows in each]
        if shown:
            kept = run_plan(fault.plan(seed), STAGES[fault.stage]).violations
            assert not kept, f"seed {seed} breaks a promise without {name}: {kept[0]}"
            return seed, shown[0]
    raise AssertionError(f"no schedule of seeds {list(fault.seeds)} found {name}")
