"""Reads the commands out of the pages in docs/runbooks."""

import re
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
FOLDER: Final = ROOT / "docs/runbooks"
PAGES: Final = {path.stem: path.read_text(encoding="utf-8") for path in sorted(FOLDER.glob("*.md"))}


def first_steps(page: str) -> list[list[str]]:
    """Return the commands of each step of 'Look here first' that has some."""
    section = PAGES[page].partition("\n## Look here first\n")[2].partition("\n## ")[0]
    blocks = re.findall(r"^ *```\n(.*?)^ *```$", section, re.DOTALL | re.MULTILINE)
    return [[line.strip() for line in block.splitlines()] for block in blocks]
