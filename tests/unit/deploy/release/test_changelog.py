"""The notes of a release begin with what an operator must do."""

from pathlib import Path

import pytest

from deploy.release.changelog import read_notes
from deploy.release.versions import ROOT

TEXT = "# Changelog\n\n## Unreleased\n\n### Upgrade\n1. Wait.\n\n### Added\n- A.\n\n## {}\n\n### {}\n- B.\n"


@pytest.mark.parametrize("title", ["1.2.3", "1.2.3 (2027-01-02)", "[1.2.3] - 2027-01-02"])
def test_the_section_of_a_version_is_found(tmp_path: Path, title: str) -> None:
    path = tmp_path / "CHANGELOG.md"
    path.write_text(TEXT.format(title, "Upgrade"))
    assert read_notes(path, "1.2.3") == "### Upgrade\n- B.\n"
    assert read_notes(path, "Unreleased") == "### Upgrade\n1. Wait.\n\n### Added\n- A.\n"
    with pytest.raises(ValueError, match="no section"):
        read_notes(path, "1.2")


def test_a_section_without_steps_for_operators_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "CHANGELOG.md"
    path.write_text(TEXT.format("1.2.3", "Added"))
    with pytest.raises(ValueError, match="must begin with"):
        read_notes(path, "1.2.3")


def test_what_comes_next_says_what_an_operator_must_do() -> None:
    assert read_notes(ROOT / "CHANGELOG.md", "Unreleased")
