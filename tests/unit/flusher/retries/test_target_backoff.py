"""How long a target rests after a failure."""

from runtime.failures import Backoff
from services.flusher.retries.retry_rules import RetryTarget
from services.flusher.retries.target_backoff import FORGET_SECONDS, TargetBackoff

SHOP, BLOG = RetryTarget("site", "site:shop"), RetryTarget("site", "site:blog")


class Timer:
    """A clock that a test turns."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_target_rests_longer_each_time_and_the_others_do_not() -> None:
    timer = Timer()
    rests = TargetBackoff(Backoff(base_seconds=2, cap_seconds=60), timer)
    waits = []
    for _ in range(8):
        rests.record_failure(SHOP, "gateway answered 401")
        began = timer.now
        while rests.is_backing_off(SHOP):
            assert rests.backing_off() == [SHOP]
            timer.now += 0.5
        waits.append(timer.now - began)
    assert waits[0] <= 2
    assert 30 <= waits[-1] <= 60
    assert not rests.failed_last(BLOG)
    rests.record_success(SHOP)
    assert not rests.failed_last(SHOP)


def test_a_target_that_nobody_tries_any_more_is_forgotten() -> None:
    timer = Timer()
    rests = TargetBackoff(Backoff(base_seconds=2, cap_seconds=2), timer)
    rests.record_failure(SHOP, "gateway answered 401")
    timer.now = FORGET_SECONDS
    assert rests.reasons() == {SHOP: "gateway answered 401"}
    timer.now = FORGET_SECONDS + 2
    assert rests.reasons() == {}
