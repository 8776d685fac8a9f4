"""Names that were replaced by standard terms do not come back, in the product or in its tests."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
# Old private names of classes, functions and modules, each replaced by a standard term.
OLD_NAMES = re.compile(
    r"\b(WorldAway|InvalidForEver|FailedNow|SeekBack|Door|Trail|Intake|Verdict|Arrangement|NotAsMeantError|Outbox"
    r"|Parked|Forged|SignInFirst|Census|Peers|BringUp|knows_clients|_collect_less|FAULTS|barred|judge_\w+|why_not"
    r"|wanted_again|own_form|refuse_elsewhere|go_to|as_changed|_sorry|TONES|ANSWERED|WAYS"
    r"|told|asked|sorry|in hand|burns? (?:no|none|nothing))\b"
)
# Old words within the names of functions, classes and files.
OLD_WORDS = {
    "told",
    "ask",
    "asked",
    "sorry",
    "nowhere",
    "burn",
    "burns",
    "away",
    "door",
    "park",
    "parked",
    "settle",
    "settled",
    "unsettled",
    "census",
    "workbench",
}
FOLDERS = ("contracts", "runtime", "services", "deploy", "tests")
SUFFIXES = {".py", ".sql", ".html", ".sh", ".yml", ".yaml", ".tpl", ".css", ".js", ".lua"}
# Golden messages stay as earlier versions wrote them, and a migration is never edited.
EXCEPT = (
    "contracts/examples",
    "deploy/migrations",
    "deploy/kubernetes/rendered",
    "tests/contract/test_vocabulary.py",
)


def _files() -> Iterator[tuple[str, Path]]:
    for folder in FOLDERS:
        for file in sorted((ROOT / folder).rglob("*")):
            path = file.relative_to(ROOT).as_posix()
            if file.suffix in SUFFIXES and not path.startswith(EXCEPT) and ".min." not in file.name:
                yield path, file


def _defined_names(source: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name


def test_no_old_name_is_in_the_product_or_its_tests() -> None:
    found = [
        f"{path}:{number}: {match[0]}"
        for path, file in _files()
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1)
        if (match := OLD_NAMES.search(line))
    ]
    assert found == []


def test_no_old_word_is_part_of_a_name() -> None:
    found = [
        f"{path}: {name}"
        for path, file in _files()
        if file.suffix == ".py"
        for name in (file.stem, *_defined_names(file.read_text(encoding="utf-8")))
        if OLD_WORDS & set(re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower().split("_"))
    ]
    assert found == []
