"""The pace of a process: when a mail may start, and which rate limits concern one mail only."""

import asyncio

import pytest

from runtime.failures import DependencyUnavailable
from services.notifier.sending.pacing import REPLIES_TO_ONE_MAIL, Pacing
from services.notifier.sending.token_bucket import TokenBucket
from services.notifier.smtp.outcome import MailOutcome, MailStatus, Phase
from tests.support.services.notifier import delivery

SENT = MailOutcome(MailStatus.SENT, "smtp 250 at body", Phase.BODY, 250)
THROTTLED = MailOutcome(MailStatus.THROTTLED, "smtp 454 at rcpt", Phase.RCPT, 454)
ONE, OTHER = delivery().key, delivery().key


def pacing_of(bucket: TokenBucket) -> Pacing:
    return Pacing(bucket, asyncio.Event())


@pytest.mark.parametrize("others_pass", [False, True])
async def test_a_limit_concerns_one_mail_only_if_other_mails_pass(others_pass: bool) -> None:
    pacing = pacing_of(TokenBucket())
    for _ in range(REPLIES_TO_ONE_MAIL):
        assert not pacing.is_limit_of_one_mail(ONE)
        pacing.record_outcome(ONE, THROTTLED, pacing.start())
        if others_pass:
            pacing.record_outcome(OTHER, SENT, pacing.start())
    assert pacing.is_limit_of_one_mail(ONE) is others_pass
    assert not pacing.is_limit_of_one_mail(OTHER)


async def test_a_limit_of_another_mail_restarts_the_count() -> None:
    pacing = pacing_of(TokenBucket())
    for _ in range(REPLIES_TO_ONE_MAIL):
        pacing.record_outcome(ONE, THROTTLED, pacing.start())
        pacing.record_outcome(OTHER, THROTTLED, pacing.start())
        pacing.record_outcome(OTHER, SENT, pacing.start())
    assert not pacing.is_limit_of_one_mail(ONE)
    assert not pacing.is_limit_of_one_mail(OTHER)


async def test_a_long_wait_pauses_the_stage_with_the_rate_as_reason() -> None:
    pacing = pacing_of(TokenBucket(1 / 60))
    async with pacing.slot():
        pacing.start()
    with pytest.raises(DependencyUnavailable, match="rate limit: 1 mails a minute"):
        async with pacing.slot():
            pass


async def test_a_stop_ends_the_wait_for_a_slot() -> None:
    stopping = asyncio.Event()
    pacing = Pacing(TokenBucket(1 / 5), stopping)
    pacing.start()

    async def take_slot() -> None:
        async with pacing.slot():
            pass

    waiting = asyncio.create_task(take_slot())
    await asyncio.sleep(0)
    assert not waiting.done()
    stopping.set()
    await asyncio.wait_for(waiting, 1)
