"""The rules for tests: short names that state unit and behaviour, and short files."""

import re
from pathlib import Path

TESTS = Path(__file__).parents[1]
# "Under 70 characters", with the prefix `test_`.
NAME_MAX = 69


def test_test_names_are_under_70_characters() -> None:
    too_long = {
        name: str(path.relative_to(TESTS))
        for path in TESTS.rglob("*.py")
        for name in re.findall(
            r"^ *(?:async )?def (test_\w+)", path.read_text(encoding="utf-8"), re.MULTILINE
        )
        if len(name) > NAME_MAX
    }
    assert not too_long, f"shorten these names to {NAME_MAX} characters: {too_long}"
