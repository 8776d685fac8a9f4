"""The git hook that checks commit messages, in a repository of the test's own."""

import shutil
import subprocess
from pathlib import Path

import pytest

HOOK = Path(__file__).parents[2] / ".githooks" / "commit-msg"
LONG = "Describe in the subject of a commit much more than it has the room for, and why"


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with a long subject from before the rule, and then a commit that adds the hook."""
    _git(tmp_path, "init", "--quiet")
    _commit(tmp_path, LONG)
    (tmp_path / ".githooks").mkdir()
    shutil.copy(HOOK, tmp_path / ".githooks")
    _git(tmp_path, "add", ".")
    _commit(tmp_path, "Add the hook")
    return tmp_path


def _git(folder: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.com"]
    subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True)


def _commit(folder: Path, subject: str) -> None:
    _git(folder, "commit", "--quiet", "--allow-empty", "--no-verify", "-m", subject)


def _check(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [".githooks/commit-msg", *arguments], cwd=folder, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize(("subject", "code"), [("A" * 72, 0), ("ä" * 72, 0), ("A" * 73, 1)])
def test_a_subject_has_at_most_72_characters(repository: Path, subject: str, code: int) -> None:
    (repository / "message").write_text(f"{subject}\n\n{LONG}\n# {LONG}\n")
    assert _check(repository, "message").returncode == code


def test_subjects_from_before_the_rule_are_left_alone(repository: Path) -> None:
    assert _check(repository, "--since-last-tag").returncode == 0


def test_a_long_subject_since_the_last_tag_is_named(repository: Path) -> None:
    _commit(repository, LONG)
    done = _check(repository, "--since-last-tag")
    assert done.returncode == 1
    assert LONG in done.stderr
    _git(repository, "tag", "v1")
    assert _check(repository, "--since-last-tag").returncode == 0
