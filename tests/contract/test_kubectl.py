"""Commands with kubectl work as they are written: with their namespace, and all lines of a log."""

import re
from pathlib import Path

import pytest

from deploy.generate.files import ROOT

PAGES = [*(ROOT / "docs").glob("*.md"), *(ROOT / "docs/runbooks").glob("*.md")]
COMMAND = re.compile(r"kubectl (?P<arguments>[^`|]+)")
# A name without its arguments, in a sentence about kubectl.
MENTIONED = {"scale", "edit"}


def commands(path: Path) -> list[str]:
    found = (match["arguments"].strip() for match in COMMAND.finditer(path.read_text(encoding="utf-8")))
    return [each for each in found if each not in MENTIONED]


def test_the_pages_have_commands() -> None:
    assert sum(len(commands(path)) for path in PAGES) > 60


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_each_command_names_the_namespace(path: Path) -> None:
    for command in commands(path):
        assert command.startswith(("-n leads ", "create namespace ")) or " -A " in command


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_the_log_of_several_pods_is_read_whole(path: Path) -> None:
    # With a selector, kubectl prints only the last ten lines of each pod.
    for command in commands(path):
        assert " logs -l " not in command or " --tail=-1" in command
