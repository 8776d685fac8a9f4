"""The nightly run publishes its result, also after a violation."""

import json
import subprocess
from pathlib import Path

import pytest

from tests.faults.runner import nightly
from tests.faults.runner.table import BEGIN, END
from tests.unit.faults.runner.test_table import LINES


def test_a_violation_is_published_and_is_the_exit_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    document = tmp_path / "reliability.md"
    document.write_text(f"{BEGIN}\n{END}\n")

    def run(command: list[str], **_: object) -> subprocess.CompletedProcess[bytes]:
        record = Path(command[command.index("--record") + 1])
        record.parent.mkdir(parents=True)
        record.write_text("\n".join(json.dumps(line) for line in LINES))
        return subprocess.CompletedProcess(command, 1)

    monkeypatch.setattr(nightly, "FOLDER", tmp_path / "nightly")
    monkeypatch.setattr(subprocess, "run", run)
    with pytest.raises(SystemExit) as ended:
        nightly.main(minutes=1, patience=1, into=document)
    assert ended.value.code == 1
    assert "Rounds with violations" in document.read_text()
    assert (tmp_path / "reliability" / "rounds.jsonl").exists()


def test_a_run_without_a_round_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    document = tmp_path / "reliability.md"
    document.write_text(f"{BEGIN}\nthe last result\n{END}\n")
    monkeypatch.setattr(nightly, "FOLDER", tmp_path / "nightly")
    monkeypatch.setattr(
        subprocess, "run", lambda command, **_: subprocess.CompletedProcess[bytes](command, 2)
    )
    with pytest.raises(SystemExit) as ended:
        nightly.main(minutes=1, patience=1, into=document)
    assert ended.value.code == 2
    assert "the last result" in document.read_text()
