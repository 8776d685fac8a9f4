"""Writes the figures of the recorded run into docs/performance.md."""

import json
from pathlib import Path
from typing import Any, Final

from deploy.embedded.settings import ROOT
from tests.bench import report

PAGE: Final = ROOT / "docs" / "performance.md"
_BEGIN: Final = "<!-- figures: written by `make bench a=--keep` -->"
_END: Final = "<!-- end of figures -->"
# Runs before the intervals have the lowest and the highest ratio instead.
_SPREAD: Final = {True: "95 % interval | itself |", False: "lowest to highest |"}


def figures(said: dict[str, Any]) -> str:
    """Return a run as Markdown: a line about the machine, and a table of results."""
    machine = said["machine"]
    packages = ", ".join(f"{name} {version}" for name, version in machine["packages"].items())
    head = (
        f"{machine['processor']}, {machine['cores']} cores, {machine['memory_gib']} GiB; "
        f"{machine['system']}; "
        f"Python {machine['python']}; {packages}. {machine['servers']}."
    )
    has_intervals = "method" in said
    if has_intervals:
        head += f" A {report.form(said)}."
    rows = [
        f"| what | held against | ours | reference | ratio | {_SPREAD[has_intervals]} limit |",
        "|---|---|--:|--:|--:|--:|" + ("--:|---|" if has_intervals else "---|"),
    ]
    for each in said["results"]:
        if has_intervals:
            ratio = "too noisy" if each["ratio"] is None else f"{each['ratio']:.2f}"
            spread = f"{report.span(each['interval'])} | {report.span(each['itself'])}"
            is_plain, verdict = each["verdict"] in {"held", "no limit"}, report.verdict(each)
        else:
            ratio, spread = f"{each['ratio']:.2f}", report.span((each["lowest"], each["highest"]))
            is_plain, verdict = each["holds"], each["limit"] + ("" if each["holds"] else ": falls short")
        rows.append(
            f"| {each['name']} | {each['against']} | {report.number(each['ours'])} {each['unit']} "
            f"| {report.number(each['reference'])} | {ratio} "
            f"| {spread} | {verdict if is_plain else f'**{verdict}**'} |"
        )
    notes = ["", *(f"- {line}" for line in report.conditions(said))] if has_intervals else []
    return "\n".join([_BEGIN, head, "", *rows, *notes, _END])


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
