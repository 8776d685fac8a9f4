"""The backoff before the next attempt."""

import random

from hypothesis import given
from hypothesis import strategies as st

from runtime.failures import Backoff


@given(attempt=st.integers(0, 10_000), seed=st.integers())
def test_backoff_stays_between_half_a_step_and_the_cap(attempt: int, seed: int) -> None:
    backoff = Backoff(base_seconds=0.5, cap_seconds=30)
    step = min(30, 0.5 * 2 ** min(attempt, 30))
    assert step / 2 <= backoff.seconds(attempt, random.Random(seed)) <= step
