"""The cache of the mails that a process is sending or has sent."""

import asyncio
import gc
import tracemalloc
from dataclasses import replace
from typing import Any

import pytest

from services.notifier.deliveries import Delivery
from services.notifier.sending import mails_in_progress
from services.notifier.sending.mails_in_progress import MailsInProgress
from services.notifier.smtp.outcome import MailOutcome, MailStatus, Phase, outcome_of_reply
from tests.support.factories import lead
from tests.support.services.notifier import FakeRecord, delivery

SENT = MailOutcome(MailStatus.SENT, "smtp 250", Phase.BODY, 250)


async def finished(outcome: MailOutcome = SENT) -> asyncio.Task[MailOutcome]:
    async def result() -> MailOutcome:
        return outcome

    task = asyncio.create_task(result())
    await task
    return task


def redelivered(of: Delivery, offset: int) -> Delivery:
    record: Any = FakeRecord(offset=offset)
    return replace(of, record=record)


async def test_a_committed_outcome_is_found_for_its_own_record_only() -> None:
    mails, first = MailsInProgress(lambda _topic, _partition: True), delivery()
    mails.add(first, await finished())
    mails.mark_committed(first.key)
    assert mails.find(first)
    assert mails.find(redelivered(first, offset=8)) is None


async def test_a_mail_in_progress_is_found_for_any_of_its_records() -> None:
    mails, first = MailsInProgress(lambda _topic, _partition: True), delivery()
    mails.add(first, await finished())
    assert mails.find(redelivered(first, offset=8))


async def test_only_the_newest_committed_outcomes_are_cached(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mails_in_progress, "CACHED_OUTCOMES", 3)
    mails = MailsInProgress(lambda _topic, _partition: True)
    in_progress, *others = [delivery(of=lead()) for _ in range(6)]
    mails.add(in_progress, await finished())
    for each in others:
        mails.add(each, await finished())
        mails.mark_committed(each.key)
    assert list(mails) == [in_progress.key, others[-2].key, others[-1].key]


async def test_mails_of_a_revoked_partition_are_removed_once_they_are_finished() -> None:
    checked = list[int]()
    held = {0, 1}

    def holds(_topic: str, partition: int) -> bool:
        checked.append(partition)
        return partition in held

    mails = MailsInProgress(holds)
    records: list[Any] = [FakeRecord(partition=number % 2) for number in range(4)]
    kept, finished_mail, *others = [replace(delivery(of=lead()), record=record) for record in records]
    running = asyncio.create_task(asyncio.sleep(10, SENT))
    for each in (kept, finished_mail, others[0]):
        mails.add(each, await finished())
    mails.add(others[1], running)
    mails.remove_revoked()
    assert len(mails) == len(records)
    assert sorted(checked) == [0, 1]  # once for each partition, because the cache may hold 10,000 mails
    held.discard(1)
    mails.remove_revoked()
    assert list(mails) == [kept.key, others[0].key, others[1].key]
    running.cancel()
    await asyncio.wait({running})
    mails.remove_revoked()
    assert list(mails) == [kept.key, others[0].key]


async def test_a_cached_outcome_takes_little_memory() -> None:
    mails, count = MailsInProgress(lambda _topic, _partition: True), 500

    async def add_one() -> None:
        made = delivery(of=lead())
        mails.add(made, await finished(outcome_of_reply(Phase.BODY, 250, f"2.0.0 queued as {made.key[0]}")))
        mails.mark_committed(made.key)

    await add_one()
    tracemalloc.start()
    try:
        for _ in range(count):
            await add_one()
        gc.collect()
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert taken / count < 750  # bytes; 590 here
