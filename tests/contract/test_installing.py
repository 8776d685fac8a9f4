"""Every installation uses exactly the locked packages."""

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PLACES = ("Makefile", "docs/deployment.md", "deploy/Dockerfile", "docs/operations.md")


@pytest.mark.parametrize("place", PLACES)
def test_regression_a_release_after_the_lock_breaks_no_installation(place: str) -> None:
    # Older versions of pip resolve `coverage[toml]` separately from the locked `coverage`, choose the newest,
    # and find no hash for it. The lock is complete, so pip must resolve nothing.
    lines = [line for line in (ROOT / place).read_text().splitlines() if "--require-hashes" in line]
    assert lines
    assert all("--require-hashes --no-deps" in line for line in lines)
