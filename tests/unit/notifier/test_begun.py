"""What a process remembers of the mails that it began."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from services.notifier import mails_in_progress
from services.notifier.batch_plan import Delivery
from services.notifier.mails_in_progress import BegunMails
from services.notifier.smtp.outcome import Outcome, Phase, Verdict
from tests.support.factories import lead
from tests.unit.notifier.test_plan import FakeRecord, delivery

SENT = Outcome(Verdict.SENT, "smtp 250", Phase.BODY, 250)


async def ended(outcome: Outcome = SENT) -> asyncio.Task[Outcome]:
    async def answer() -> Outcome:
        return outcome

    task = asyncio.create_task(answer())
    await task
    return task


def again(of: Delivery, offset: int) -> Delivery:
    record: Any = FakeRecord(offset=offset)
    return replace(of, record=record)


async def test_a_committed_outcome_is_known_for_its_own_record_only() -> None:
    mails, first = BegunMails(lambda _topic, _partition: True), delivery()
    mails.add(first, await ended())
    mails.committed(first.key)
    assert mails.find(first)
    assert mails.find(again(first, offset=8)) is None


async def test_a_mail_under_way_is_known_whichever_of_its_records_comes() -> None:
    mails, first = BegunMails(lambda _topic, _partition: True), delivery()
    mails.add(first, await ended())
    assert mails.find(again(first, offset=8))


async def test_only_the_newest_committed_outcomes_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mails_in_progress, "REMEMBERED", 3)
    mails = BegunMails(lambda _topic, _partition: True)
    under_way, *others = [delivery(given=lead()) for _ in range(6)]
    mails.add(under_way, await ended())
    for each in others:
        mails.add(each, await ended())
        mails.committed(each.key)
    assert list(mails) == [under_way.key, others[-2].key, others[-1].key]
