"""The wait before the next try."""

import random

from hypothesis import given
from hypothesis import strategies as st

from runtime.failures import Backoff


@given(attempt=st.integers(0, 10_000), seed=st.integers())
def test_a_pause_is_never_longer_than_the_cap_and_never_shorter_than_half_its_step(
    attempt: int, seed: int
) -> None:
    backoff = Backoff(base_seconds=0.5, cap_seconds=30)
    step = min(30, 0.5 * 2 ** min(attempt, 30))
    assert step / 2 <= backoff.seconds(attempt, random.Random(seed)) <= step
