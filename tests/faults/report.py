"""What a run found, for people and as JSON. Only ids and our own words: no personal data."""

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


def _cells(told: Round) -> list[str]:
    refused = sum(count for status, count in told.answers.items() if status.startswith("4"))
    return [
        f"{told.seed}/{told.number}",
        str(told.posted),
        str(told.answers.get("201", 0)),
        str(refused),
        str(told.answers.get("503", 0)),
        str(told.answers.get("lost", 0)),
        str(told.count("lost") + told.count("lost mail")),
        str(told.count("duplicated row")),
        str(told.count("duplicated mail")),
        str(told.unknown_mails),
        f"{told.recovery_seconds:.0f}",
        f"{told.median_seconds * 1000:.0f}",
        f"{told.slowest_seconds:.1f}",
    ]


def line(told: Round) -> str:
    """Say in one line how a round went."""
    verdict = f"{len(told.violations)} BROKEN PROMISES" if told.violations else "all promises kept"
    return (
        f"round {told.seed}/{told.number} [{', '.join(told.faults)}]: {told.posted} leads,"
        f" quiet {told.recovery_seconds:.0f} s after healing, {verdict}"
        + "".join(f"; LEFT OUT {said}" for said in told.left_out)
    )


def render(rounds: Sequence[Round]) -> str:
    """Write the whole report."""
    rows = [[*_COLUMNS], *(_cells(told) for told in rounds)]
    total = ["total", *(str(sum(int(_cells(t)[n]) for t in rounds)) for n in range(1, 10))]
    slowest = max((told.recovery_seconds for told in rounds), default=0)
    rows.append([*total, f"max {slowest:.0f}", "", ""])
    widths = [max(len(row[n]) for row in rows) for n in range(len(_COLUMNS))]
    lines = ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    faults = Counter(fault for told in rounds for fault in told.faults)
    lines += ["", "faults: " + ", ".join(f"{name} x{count}" for name, count in sorted(faults.items()))]
    for told in rounds:
        if len(told.slices) > 5:
            lines += [
                "",
                f"201s of round {told.seed}/{told.number}: from second, count, p50, p99 and slowest in ms",
            ]
            lines += ["  " + "".join(f"{each:>7}" for each in one) for one in told.slices]
        if told.violations:
            lines += ["", *_failure(told)]
    return "\n".join(lines)


def _failure(told: Round) -> list[str]:
    faults = "".join(f' --fault "{fault}"' for fault in told.faults)
    lines = [
        f"BROKEN in round {told.seed}/{told.number}; repeat it with:",
        f"  python -m tests.faults --seed {told.seed} --first {told.number} --rounds 1{faults}",
        *(f"  {at:6.1f} s  {said}" for at, said in told.timeline),
    ]
    for kind, count in Counter(each.kind for each in told.violations).most_common():
        some = [each for each in told.violations if each.kind == kind][:5]
        lines += [f"  {kind} x{count}", *(f"    {each.lead_id or ''} {each.said}" for each in some)]
    for lead_id, story in told.stories.items():
        lines += [f"  lead {lead_id}:", *(f"    {each}" for each in story)]
    return lines


def save(rounds: Sequence[Round], path: Path) -> None:
    """Write the same as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    told: dict[str, Any] = {"rounds": [each.json() for each in rounds]}
    path.write_text(json.dumps(told, indent=1, default=str))
