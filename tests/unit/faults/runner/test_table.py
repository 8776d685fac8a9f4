"""The tables of docs/reliability.md count what the record has."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.faults.runner.table import BEGIN, END, main, render, write

RUN = {
    "kind": "run", "run": "a", "commit": "abc", "began": "2026-01-01T00:00:00+00:00", "machine": "2 cores",
    "seed": 7, "patience": 3.0, "missing": {"brokers: clock": "faketime"},
    "faults": {"brokers": ["kill", "hang"], "one": ["kill", "poison"]},
}  # fmt: skip


def round_line(family: str, *faults: str, **values: Any) -> dict[str, Any]:
    return {
        "kind": "round", "run": "a", "family": family, "faults": list(faults), "seed": 7, "number": 1,
        "began": "2026-01-01T00:10:00+00:00", "seconds": 60.0, "load": [1.0, 3.0], "leads": 100, "lost": 0,
        "doubled": 0, "mails_lost": 0, "mails_doubled": 0, "quiet_seconds": 10.0, "violations": [],
        "violation_kinds": {}, "skipped": {}, "reproduce": "python -m tests.faults", **values,
    }  # fmt: skip


BROKEN = round_line(
    "brokers",
    "kill",
    lost=2,
    quiet_seconds=None,
    violations=[{"kind": "lost", "detail": "201, and no row"}],
    violation_kinds={"lost": 2},
)
LINES = [RUN, round_line("one", "kill", "poison", quiet_seconds=31.2), round_line("one", "kill"), BROKEN]


def rows(text: str, title: str) -> dict[str, list[str]]:
    """Return the cells of the tables with this first column, by row."""
    found = dict[str, list[str]]()
    inside = False
    for line in text.splitlines():
        inside = (inside or line.startswith(f"| {title} |")) and line.startswith("|")
        if inside:
            name, *cells = (cell.strip() for cell in line.strip("|").split("|"))
            found[name] = cells
    return found


def test_families_and_the_total_are_counted_once() -> None:
    found = rows(render(LINES), "family")
    assert found["one"] == ["2", "200", "0", "0", "0", "0", "31 s", "0"]
    assert found["brokers"] == ["1", "100", "2", "0", "0", "0", "none", "1"]
    assert found["**total**"] == ["3", "300", "2", "0", "0", "0", "31 s", "1"]


def test_a_round_with_two_faults_is_in_the_row_of_each() -> None:
    text = render(LINES)
    text = text[text.index("Family one") :]
    assert rows(text, "fault")["kill"][:2] == ["2", "200"]
    assert rows(text, "fault")["poison"][:2] == ["1", "100"]
    assert rows(text, "fault")["**total**"][:2] == ["2", "200"]


def test_times_are_grouped_by_the_load_of_the_machine() -> None:
    text = render([*LINES, round_line("one", "kill", load=[9.0, 7.5], quiet_seconds=70.0, seconds=95.0)])
    found = rows(text, "load average")
    assert found["2 to 4"] == ["3", "21 s", "31 s", "60 s"]
    assert found["8 to 16"] == ["1", "70 s", "70 s", "95 s"]


def test_violations_say_how_to_repeat_the_round() -> None:
    assert (
        "- brokers 7/1 (kill): lost x2. First: `201, and no row`. Again: `python -m tests.faults`"
        in render(LINES)
    )


def test_a_run_that_was_killed_counts_until_its_last_round() -> None:
    assert "11 minutes" in render(LINES)
    assert "30 minutes" in render([*LINES, {"kind": "end", "run": "a", "minutes": 30.0, "why": "done"}])


def test_faults_without_a_round_are_named() -> None:
    text = render(LINES)
    assert "no time for these (1):\n\n- brokers: hang\n" in text
    tried = [*LINES, round_line("brokers", "hang")]
    assert "without a round" not in render(tried)


def test_faults_that_the_machine_lacks_are_named() -> None:
    assert "- brokers: clock (faketime)" in render(LINES)


def test_the_tables_replace_what_is_between_the_markers(tmp_path: Path) -> None:
    document, record = tmp_path / "reliability.md", tmp_path / "record.jsonl"
    document.write_text(f"# Title\n{BEGIN}\nold\n{END}\nafter\n")
    record.write_text("".join(json.dumps(line) + "\n" for line in LINES))
    main([record], document)
    text = document.read_text()
    assert text.startswith(f"# Title\n{BEGIN}\n- Commit")
    assert text.endswith(f"{END}\nafter\n")
    assert "old" not in text
    assert (tmp_path / "reliability" / "rounds.jsonl").read_text() == record.read_text()


def test_records_of_two_commits_are_named() -> None:
    other = [{**RUN, "run": "b", "commit": "def+"}, round_line("one", "kill", run="b")]
    text = render([*LINES, *other])
    assert "- Commit: `abc`, `def` with local changes" in text
    assert rows(text, "family")["**total**"][0] == "4"


def test_a_document_without_markers_is_refused(tmp_path: Path) -> None:
    (tmp_path / "reliability.md").write_text("# Title\n")
    with pytest.raises(ValueError, match="no markers"):
        write("text", tmp_path / "reliability.md")


def test_a_record_without_rounds_is_refused() -> None:
    with pytest.raises(ValueError, match="no rounds"):
        render([RUN])
