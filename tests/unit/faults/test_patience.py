"""A run on a slow machine waits longer, and never shorter."""

import time

import pytest

from tests.support.patience import VARIABLE, factor, patient
from tests.support.wait import eventually


async def never() -> bool:
    return False


async def test_a_wait_takes_longer_with_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "4")
    began = time.monotonic()
    with pytest.raises(AssertionError, match=r"within 0\.4 s"):
        await eventually(never, seconds=0.1)
    assert time.monotonic() - began >= 0.4


@pytest.mark.parametrize(("text", "expected"), [("", 1), ("0.2", 1), ("3", 3), ("1.5", 1.5)])
def test_patience_is_a_factor_of_at_least_one(
    monkeypatch: pytest.MonkeyPatch, text: str, expected: float
) -> None:
    monkeypatch.setenv(VARIABLE, text)
    assert factor() == expected
    assert patient(10) == 10 * expected
