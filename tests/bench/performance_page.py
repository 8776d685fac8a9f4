"""Writes the figures of the recorded run into docs/performance.md."""

import json
from pathlib import Path
from typing import Any, Final

from deploy.embedded.settings import ROOT

PAGE: Final = ROOT / "docs" / "performance.md"
_BEGIN: Final = "<!-- figures: written by `make bench a=--keep` -->"
_END: Final = "<!-- end of figures -->"


def figures(said: dict[str, Any]) -> str:
    """Return a run as Markdown: a line about the machine, and a table of results."""
    machine = said["machine"]
    packages = ", ".join(f"{name} {version}" for name, version in machine["packages"].items())
    head = (
        f"{machine['processor']}, {machine['cores']} cores, {machine['memory_gib']} GiB; "
        f"{machine['system']}; "
        f"Python {machine['python']}; {packages}. {machine['servers']}."
    )
    if said["quick"]:
        head += " The short form: `make bench-quick`."
    rows = [
        "| what | held against | ours | reference | ratio | lowest to highest | limit |",
        "|---|---|--:|--:|--:|--:|---|",
    ]
    for each in said["results"]:
        verdict = each["limit"] if each["holds"] else f"**{each['limit']}: falls short**"
        rows.append(
            f"| {each['name']} | {each['against']} | {_number(each['ours'])} {each['unit']} "
            f"| {_number(each['reference'])} | {each['ratio']:.2f} "
            f"| {each['lowest']:.2f} to {each['highest']:.2f} | {verdict} |"
        )
    return "\n".join([_BEGIN, head, "", *rows, _END])


def _number(value: float) -> str:
    return f"{value:,.{2 if value < 100 else 0}f}"


def written(text: str, said: dict[str, Any]) -> str:
    """Return the page with these figures."""
    before, _, rest = text.partition(_BEGIN)
    _, _, after = rest.partition(_END)
    return before + figures(said) + after


def write(said: dict[str, Any], page: Path = PAGE) -> None:
    """Write the page."""
    page.write_text(written(page.read_text(), said))


def is_true(known: Path, page: Path = PAGE) -> bool:
    """Return True if the page shows the recorded run."""
    text = page.read_text()
    return written(text, json.loads(known.read_text())) == text
