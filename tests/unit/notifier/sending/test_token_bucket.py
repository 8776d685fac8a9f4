"""The token bucket against providers with different limits, with a fake clock."""

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.notifier.sending.token_bucket import FLOOR_PER_SECOND, TokenBucket


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


class Provider:
    """Accepts `per_second` mails a second as Amazon SES does: a bucket of one second's tokens."""

    def __init__(self, per_second: float, clock: Clock) -> None:
        self.per_second, self.clock = per_second, clock
        self.tokens, self.seen_at = max(1.0, per_second), clock.now

    def accepts(self) -> bool:
        self.tokens += (self.clock.now - self.seen_at) * self.per_second
        self.tokens, self.seen_at = min(self.tokens, max(1.0, self.per_second)), self.clock.now
        if self.tokens < 1:
            return False
        self.tokens -= 1
        return True


def send(bucket: TokenBucket, provider: Provider, clock: Clock, mails: int) -> tuple[float, int]:
    """Send the mails; return the seconds it took, and the number of refusals."""
    began, refused = clock.now, 0
    while mails:
        clock.now += max(bucket.wait_seconds(), 0.005)  # as quick as a server nearby
        started = bucket.take()
        if provider.accepts():
            bucket.accepted()
            mails -= 1
        else:
            bucket.throttled(started)
            refused += 1
    return clock.now - began, refused


@pytest.mark.parametrize(("per_second", "mails"), [(14.0, 2000), (1.0, 200), (0.2, 60)])
def test_the_rate_converges_to_the_providers_limit(per_second: float, mails: int) -> None:
    clock = Clock()
    bucket = TokenBucket(clock=clock)
    provider = Provider(per_second, clock)
    send(bucket, provider, clock, mails // 4)
    seconds, refused = send(bucket, provider, clock, mails)
    assert mails / seconds > 0.7 * per_second
    assert refused < mails / 3


def test_without_a_limit_nothing_waits() -> None:
    clock = Clock()
    bucket = TokenBucket(clock=clock)
    for _ in range(1000):
        assert bucket.wait_seconds() == 0
        bucket.take()
        bucket.accepted()
    assert bucket.rate == math.inf


def test_the_ceiling_applies_from_the_first_mail() -> None:
    clock = Clock()
    bucket = TokenBucket(5, clock=clock)
    provider = Provider(1_000, clock)
    seconds, _ = send(bucket, provider, clock, 50)
    assert seconds == pytest.approx(9.8, abs=0.3)


def test_the_replies_to_one_burst_reduce_the_rate_once() -> None:
    clock = Clock()
    bucket = TokenBucket(20, clock=clock)
    started = []
    for _ in range(10):
        started.append(bucket.take())
        clock.now += 0.05
    for each in started:
        bucket.throttled(each)
    assert bucket.rate == pytest.approx(0.7 * 10)


def test_an_exhausted_quota_is_probed_once_a_minute() -> None:
    clock = Clock()
    bucket = TokenBucket(clock=clock)
    for _ in range(60):
        clock.now += bucket.wait_seconds()
        bucket.throttled(bucket.take())
    assert bucket.wait_seconds() == pytest.approx(1 / FLOOR_PER_SECOND)
    seconds, refused = send(bucket, Provider(14, clock), clock, 300)
    assert refused < 30
    assert seconds < 600


@given(st.integers(0, 2**32), st.floats(0, 50))
def test_the_rate_stays_between_floor_and_ceiling(seed: int, ceiling: float) -> None:
    rng, clock = random.Random(seed), Clock()
    ceiling = ceiling and max(ceiling, FLOOR_PER_SECOND)
    bucket = TokenBucket(ceiling, clock=clock)
    started = [bucket.take()]
    for _ in range(100):
        clock.now += rng.random()
        match rng.randrange(3):
            case 0:
                started.append(bucket.take())
            case 1:
                bucket.accepted()
            case _:
                bucket.throttled(started[-1])
        assert FLOOR_PER_SECOND <= bucket.rate <= (ceiling or math.inf)
        assert bucket.wait_seconds() >= 0
