"""Exports and histories: our verifier and the program in docs/audit.md accept and refuse the same files."""

import base64
import json
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from deploy.cli.audit.files import AuditFileError, verify_file
from runtime.transparency_log.checkpoint import Checkpoint, open_checkpoint
from runtime.transparency_log.merkle_tree import LeafHashes, hash_leaf, prove_inclusion, root_of
from runtime.transparency_log.signed_note import SigningKey
from tests.support.naive_merkle_tree import tree_hash
from tests.support.sealed_log import KEY, PUBLIC_KEY, document_verifier, write_lines

CHANGES = 2000  # of changing a log


def entry(number: int, **changes: object) -> str:
    fields = {"id": number, "event": "lead.received", "actor": "Zoë", "details_json": {"n": number}}
    return json.dumps(fields | changes, ensure_ascii=False)


def note(lines: list[str], key: SigningKey = KEY) -> str:
    return Checkpoint(key.name, len(lines), tree_hash([line.encode() for line in lines])).sign([key])


def export(lines: list[str], checkpoint: str | None = None) -> list[str]:
    return [json.dumps({"checkpoint": checkpoint or note(lines)}, ensure_ascii=False), *lines]


def history(lines: list[str], indexes: list[int]) -> list[str]:
    tree = LeafHashes([hash_leaf(line.encode()) for line in lines])
    assert root_of(tree, len(lines)) == tree_hash([line.encode() for line in lines])
    return [export(lines)[0], *(history_line(lines, tree, index) for index in indexes)]


def history_line(lines: list[str], tree: LeafHashes, index: int, leaf: str | None = None) -> str:
    proof = [base64.b64encode(each).decode() for each in prove_inclusion(tree, index, len(lines))]
    return json.dumps({"index": index, "proof": proof, "leaf": leaf or lines[index]}, ensure_ascii=False)


def refusals(path: Path, lines: list[str], earlier: str | None = None) -> list[bool]:
    """Say for our verifier and for the document's whether it refuses the file."""
    known = [open_checkpoint(earlier, [PUBLIC_KEY])] if earlier else []
    check = document_verifier()
    write_lines(path, lines)

    def refuses(verify: Callable[[], object]) -> bool:
        try:
            verify()
        except Exception:  # noqa: BLE001 - the document's program ends with whatever is wrong
            return True
        return False

    return [
        refuses(lambda: verify_file([line.encode() for line in lines], [PUBLIC_KEY], known)),
        refuses(lambda: check(path, str(PUBLIC_KEY), earlier)),
    ]


@pytest.mark.parametrize("size", [0, 1, 2, 7, 300])
def test_a_right_export_is_accepted_with_each_earlier_checkpoint(tmp_path: Path, size: int) -> None:
    lines = [entry(number) for number in range(size)]
    for old in {0, 1, size // 2, size}:
        if old <= size:
            assert refusals(tmp_path / "log", export(lines), note(lines[:old])) == [False, False]
    found = verify_file([line.encode() for line in export(lines)], [PUBLIC_KEY])
    assert (found.entries, found.checkpoint.size, found.is_whole_log) == (size, size, True)


def test_a_right_history_is_accepted(tmp_path: Path) -> None:
    lines = [entry(number) for number in range(300)]
    for indexes in ([0], [5, 6, 299], [255, 256], list(range(0, 300, 7))):
        assert refusals(tmp_path / "lead", history(lines, indexes)) == [False, False]


def test_every_change_of_an_export_is_found(tmp_path: Path) -> None:
    lines = [entry(number) for number in range(40)]
    signed, chance = note(lines), random.Random(20)
    for _ in range(CHANGES):
        changed = change(lines, chance)
        if changed != lines:
            assert refusals(tmp_path / "log", export(changed, signed)) == [True, True], changed


def change(lines: list[str], chance: random.Random) -> list[str]:
    """Alter, delete, insert, repeat, reorder, truncate, renumber or split, up to three times."""
    changed = list(lines)
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        at, other = chance.randrange(len(changed)), chance.randrange(len(changed))
        line = changed[at]
        spot = chance.randrange(len(line))
        match chance.randrange(8):
            case 0:
                changed[at] = line[:spot] + chr(ord(line[spot]) ^ 1) + line[spot + 1 :]
            case 1:
                del changed[at]
            case 2:
                changed.insert(at, entry(chance.randrange(1000), actor="somebody"))
            case 3:
                changed.insert(other, line)
            case 4:
                changed[at], changed[other] = changed[other], line
            case 5:
                changed = changed[: max(1, at)]
            case 6:
                changed[at:] = [each.replace('"id": ', '"id": 1') for each in changed[at:]]
            case _:
                changed[at : at + 1] = [line[:spot], line[spot:]]
    return changed


def test_a_changed_history_is_refused(tmp_path: Path) -> None:
    lines = [entry(number) for number in range(50)]
    tree = LeafHashes([hash_leaf(line.encode()) for line in lines])
    good, false_leaf = history(lines, [3, 9]), entry(3, actor="somebody")
    wrong = [
        [good[0], history_line(lines, tree, 3, false_leaf), good[2]],
        [good[0], good[1].replace('"index": 3', '"index": 2')],
        [good[0], good[1].replace('"index": 3', '"index": -1')],
        [good[0], good[1].replace('"index": 3', '"index": 50')],
        [good[0], good[1], lines[4]],  # an entry without a proof
        [good[0], good[1].replace('"leaf":', f'"leaf": {json.dumps(false_leaf)}, "leaf":')],
        [good[0], good[1].replace('"proof": [', f'"proof": ["{base64.b64encode(bytes(32)).decode()}", ')],
        [good[0], '{"index": 3, "proof": []}'],
        [export(lines[:49])[0], *good[1:]],
        [good[0], good[1], "not JSON"],
        [good[0], good[1], good[1]],  # the same entry twice
        [good[0], good[2], good[1]],
        [good[0], good[1].replace('"index": 3', '"index": 3.0')],
        [good[0], good[1][:-1] + ', "note": "the office has approved this"}'],
        [good[0], good[1].replace('"proof": ["', '"proof": ["*')],
    ]
    for each in wrong:
        assert refusals(tmp_path / "lead", each) == [True, True], each


def test_a_true_in_place_of_an_index_is_refused(tmp_path: Path) -> None:
    good = history([entry(number) for number in range(5)], [1])
    changed = [good[0], good[1].replace('"index": 1', '"index": true')]
    assert refusals(tmp_path / "lead", changed) == [True, True]


def test_a_history_does_not_show_that_the_log_continues_a_checkpoint(tmp_path: Path) -> None:
    lines = [entry(number) for number in range(9)]
    assert refusals(tmp_path / "lead", history(lines, [3]), note(lines[:5])) == [True, True]


def test_a_checkpoint_of_a_former_key_is_accepted_with_both_keys(tmp_path: Path) -> None:
    lines, new = [entry(number) for number in range(9)], SigningKey.generate(KEY.name)
    path = write_lines(tmp_path / "log", export(lines, note(lines, new)))
    for keys in ([PUBLIC_KEY, new.verification_key()], [new.verification_key(), PUBLIC_KEY]):
        known = [open_checkpoint(note(lines[:5]), keys)]
        written = path.read_bytes().splitlines()
        assert verify_file(written, keys, known).entries == 9
        document_verifier()(path, ",".join(map(str, keys)), note(lines[:5]))
    with pytest.raises(ValueError, match="no key has signed"):
        document_verifier()(path, str(new.verification_key()), note(lines[:5]))


def test_a_wrong_signature_beside_a_right_one_is_refused(tmp_path: Path) -> None:
    lines = [entry(number) for number in range(5)]
    signed, other = note(lines), note(lines[:4]).splitlines()[-1]
    assert refusals(tmp_path / "log", export(lines, signed + other + "\n")) == [True, True]


def test_a_file_without_our_signature_is_refused(tmp_path: Path) -> None:
    lines = [entry(number) for number in range(5)]
    forger = SigningKey.generate(KEY.name)
    renamed = note(lines).replace("audit.example.com", "other.example.com")
    for checkpoint in (note(lines, forger), renamed, note(lines).replace("\n5\n", "\n4\n"), note(lines)[:-9]):
        assert refusals(tmp_path / "log", export(lines, checkpoint)) == [True, True]
    for first in ("", "{}", "[]", '{"checkpoint": 5}', lines[0]):
        assert refusals(tmp_path / "log", [first, *lines]) == [True, True]
    with pytest.raises(AuditFileError, match="no checkpoint"):
        verify_file([], [PUBLIC_KEY])


def test_a_log_that_does_not_continue_an_earlier_checkpoint_is_refused(tmp_path: Path) -> None:
    lines = [entry(number) for number in range(9)]
    rewritten = [entry(0, actor="somebody"), *lines[1:]]
    for old in (1, 5, 9):
        assert refusals(tmp_path / "log", export(rewritten), note(lines[:old])) == [True, True]
    assert refusals(tmp_path / "log", export(lines[:7]), note(lines)) == [True, True]  # truncated


def test_the_program_of_the_document_has_about_fifty_lines() -> None:
    document = (Path(__file__).parents[3] / "docs" / "audit.md").read_text(encoding="utf-8")
    program = document.partition("```python\n")[2].partition("```")[0]
    assert len([line for line in program.splitlines() if line.strip()]) <= 60
    assert {line.split()[1].split(".")[0] for line in program.splitlines() if line.startswith("from ")} == {
        "cryptography"
    }
