"""The rules for tests: short names that state unit and behaviour, and short files."""

import re
from pathlib import Path

TESTS = Path(__file__).parents[1]
# "Under 70 characters", with the prefix `test_`.
NAME_MAX = 69
FILE_MAX_LINES = 300


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


def test_test_files_have_at_most_300_lines() -> None:
    lines = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in TESTS.rglob("test_*.py")}
    too_long = {
        str(path.relative_to(TESTS)): count for path, count in lines.items() if count > FILE_MAX_LINES
    }
    assert not too_long, f"split these files by behaviour: {too_long}"
