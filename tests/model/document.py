"""Reads and writes the generated parts of docs/model.md, and reads the tables of ARCHITECTURE.md."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
_DOCUMENT: Final = ROOT / "docs" / "model.md"


def read_part(name: str) -> str:
    """Return a generated part of docs/model.md. Raises `AttributeError` if it has no such part."""
    found = _pattern(name).search(_DOCUMENT.read_text())
    assert found, name
    return found[2].strip()


def write(parts: Mapping[str, str]) -> None:
    """Replace the generated parts of docs/model.md."""
    text = _DOCUMENT.read_text()
    for name, part in parts.items():
        found = _pattern(name).search(text)
        assert found, name
        text = f"{text[: found.end(1)]}\n{part}\n{text[found.start(3) :]}"
    _DOCUMENT.write_text(text)


def read_table(heading: str) -> dict[str, str]:
    """Return the first two columns of the table below a heading of ARCHITECTURE.md."""
    text = (ROOT / "ARCHITECTURE.md").read_text().split(f"\n## {heading}\n")[1].split("\n## ")[0]
    rows = [line.strip("|").split(" | ") for line in text.splitlines() if line.startswith("| ")]
    return {row[0].strip(): row[1].strip() for row in rows[1:]}


def read_transitions(subject: str) -> set[tuple[str, str]]:
    """Return the arrows of the diagram below the paragraph that begins with `subject`."""
    text = (ROOT / "ARCHITECTURE.md").read_text().split(f"\n{subject}")[1].split("```")[1]
    return {(found[1], found[2]) for found in re.finditer(r"^ +(\S+) --> (\w+):", text, re.MULTILINE)}


def _pattern(name: str) -> re.Pattern[str]:
    return re.compile(rf"(<!-- {name} -->)(.*?)(<!-- end of {name} -->)", re.DOTALL)
