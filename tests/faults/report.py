"""The report of a run, as text and as JSON. It contains ids and no personal data."""

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.faults.suite import Round

_COLUMNS = (
    "round",
    "posted",
    "201",
    "4xx",
    "503",
    "lost ans.",
    "LOST",
    "DUP ROWS",
    "DUP MAILS",
    "unknown",
    "quiet s",
    "p50 ms",
    "max s",
)


def _cells(result: Round) -> list[str]:
    refused = sum(count for status, count in result.answers.items() if status.startswith("4"))
    return [
        f"{result.seed}/{result.number}",
        str(result.posted),
        str(result.answers.get("201", 0)),
        str(refused),
        str(result.answers.get("503", 0)),
        str(result.answers.get("lost", 0)),
        str(sum(result.count(kind) for kind in ("lost", "lost mail", "lost event", "lost change"))),
        str(result.count("duplicated row")),
        str(result.count("duplicated mail")),
        str(result.unknown_mails),
        f"{result.recovery_seconds:.0f}",
        f"{result.median_seconds * 1000:.0f}",
        f"{result.slowest_seconds:.1f}",
    ]


def line(result: Round) -> str:
    """Return the result of a round in one line."""
    verdict = f"{len(result.violations)} VIOLATIONS" if result.violations else "no violation"
    return (
        f"round {result.seed}/{result.number} [{', '.join(result.faults)}]: {result.posted} leads,"
        f" quiet {result.recovery_seconds:.0f} s after healing, {verdict}"
        + "".join(f"; SKIPPED {fault}" for fault in result.skipped)
    )


def render(rounds: Sequence[Round]) -> str:
    """Return the report of all rounds."""
    rows = [[*_COLUMNS], *(_cells(result) for result in rounds)]
    total = ["total", *(str(sum(int(_cells(t)[n]) for t in rounds)) for n in range(1, 10))]
    slowest = max((result.recovery_seconds for result in rounds), default=0)
    rows.append([*total, f"max {slowest:.0f}", "", ""])
    widths = [max(len(row[n]) for row in rows) for n in range(len(_COLUMNS))]
    lines = ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    faults = Counter(fault for result in rounds for fault in result.faults)
    lines += ["", "faults: " + ", ".join(f"{name} x{count}" for name, count in sorted(faults.items()))]
    for result in rounds:
        if len(result.slices) > 5:
            lines += [
                "",
                f"201s of round {result.seed}/{result.number}: from second, count, p50, p99, maximum in ms",
            ]
            lines += ["  " + "".join(f"{each:>7}" for each in one) for one in result.slices]
        if result.violations:
            lines += ["", *failure(result)]
    return "\n".join(lines)


def failure(result: Round) -> list[str]:
    """Return the story of a round with violations."""
    faults = "".join(f' --fault "{fault}"' for fault in result.faults)
    lines = [
        f"VIOLATION in round {result.seed}/{result.number}; reproduce it with:",
        f"  python -m tests.faults --seed {result.seed} --first {result.number} --rounds 1{faults}",
        *(f"  {at:6.1f} s  {event}" for at, event in result.timeline),
    ]
    for kind, count in Counter(each.kind for each in result.violations).most_common():
        some = [each for each in result.violations if each.kind == kind][:5]
        lines += [f"  {kind} x{count}", *(f"    {each.lead_id or ''} {each.detail}" for each in some)]
    for lead_id, story in result.lead_timelines.items():
        lines += [f"  lead {lead_id}:", *(f"    {each}" for each in story)]
    if result.errors:
        lines += ["  errors that the services logged:", *(f"    {each}" for each in result.errors)]
    return lines


def save(rounds: Sequence[Round], path: Path) -> None:
    """Write the results as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    result: dict[str, Any] = {"rounds": [each.json() for each in rounds]}
    path.write_text(json.dumps(result, indent=1, default=str))
