"""Reads CHANGELOG.md: the notes of a release, which begin with what an operator must do."""

import re
from pathlib import Path
from typing import Final

UNRELEASED: Final = "Unreleased"
UPGRADE: Final = "### Upgrade\n"


def read_notes(path: Path, version: str) -> str:
    """Return the section of a version, without its heading.

    Raises `ValueError` if there is none, or if it does not begin with what an operator must do.
    """
    sections = re.split(r"^## ", path.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
    for section in sections:
        title, _, text = section.partition("\n")
        if title.split(" ")[0].strip("[]") == version:
            notes = text.strip() + "\n"
            if not notes.startswith(UPGRADE):
                raise ValueError(f"{path.name}: the section {title!r} must begin with '### Upgrade'")
            return notes
    raise ValueError(f"{path.name} has no section {version!r}")
