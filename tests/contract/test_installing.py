"""Every place that installs the locked packages installs those and no others, also years later."""

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PLACES = ("Makefile", "docs/deployment.md", "deploy/Dockerfile", "docs/operations.md")


@pytest.mark.parametrize("place", PLACES)
def test_regression_a_release_after_the_lock_breaks_no_installation(place: str) -> None:
    # Older pips resolve `coverage[toml]` apart from the locked `coverage`, take the newest, and find no
    # hash for it. The lock is whole, so there is nothing to resolve.
    lines = [line for line in (ROOT / place).read_text().splitlines() if "--require-hashes" in line]
    assert lines
    assert all("--require-hashes --no-deps" in line for line in lines)
