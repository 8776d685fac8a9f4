"""Names that were replaced by standard terms do not come back."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
# Old private names of classes, functions and modules, each replaced by a standard term.
OLD_NAMES = re.compile(
    r"\b(WorldAway|InvalidForEver|FailedNow|SeekBack|Door|Trail|Intake|Verdict|Arrangement|NotAsMeantError|Outbox"
    r"|Parked|Forged|SignInFirst|Census|Peers|BringUp|knows_clients|_collect_less|FAULTS|barred|judge_\w+|why_not"
    r"|wanted_again|own_form|refuse_elsewhere|go_to|as_changed|_sorry|TONES|ANSWERED|WAYS"
    r"|told|asked|sorry|in hand|burns? (?:no|none|nothing))\b"
)
FOLDERS = ("contracts", "runtime", "services", "deploy")
# Golden messages are as earlier versions wrote them, and a migration is never edited.
EXCEPT = ("contracts/examples", "deploy/migrations", "deploy/kubernetes/rendered")


def test_no_old_name_is_in_the_product() -> None:
    found = [
        f"{path}:{number}: {match[0]}"
        for folder in FOLDERS
        for file in sorted((ROOT / folder).rglob("*"))
        if file.suffix in {".py", ".sql", ".html", ".sh", ".yml", ".yaml", ".tpl", ".css", ".js"}
        and not (path := file.relative_to(ROOT).as_posix()).startswith(EXCEPT)
        and ".min." not in file.name
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1)
        if (match := OLD_NAMES.search(line))
    ]
    assert found == []
