"""The breaks of the product still fit its source, and the faults that show them exist."""

from pathlib import Path

import pytest

from tests.faults import families
from tests.faults.breaks import BROKEN, Broken
from tests.faults.broken import ROOT, apply

README = ROOT / "tests" / "faults" / "README.md"


def _copied(broken: Broken, folder: Path) -> list[Path]:
    """Return the files of a break, in a folder of its own."""
    copies = [folder / edit.file for edit in broken.edits]
    for edit, copy in zip(broken.edits, copies, strict=True):
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_text((ROOT / edit.file).read_text())
    return copies


@pytest.mark.parametrize("name", BROKEN)
def test_each_break_edits_the_product_as_it_is(name: str, tmp_path: Path) -> None:
    copies = _copied(BROKEN[name], tmp_path)
    before = [copy.read_text() for copy in copies]
    apply(BROKEN[name], tmp_path)
    for copy, old in zip(copies, before, strict=True):
        assert copy.read_text() != old
        if copy.suffix == ".py":
            compile(copy.read_text(), str(copy), "exec")


@pytest.mark.parametrize("name", BROKEN)
def test_each_break_has_a_fault_that_exists(name: str) -> None:
    assert BROKEN[name].fault in families.find(BROKEN[name].family).faults


def test_an_edit_that_no_longer_fits_is_an_error(tmp_path: Path) -> None:
    broken = next(iter(BROKEN.values()))
    _copied(broken, tmp_path)
    outdated = broken.edits[0]._replace(old="what nobody wrote")
    with pytest.raises(ValueError, match="has 0 times"):
        apply(broken._replace(edits=(outdated,)), tmp_path)


def test_the_readme_says_how_each_break_showed() -> None:
    table = README.read_text().partition("| break | what is wrong |")[2].partition("\n\n")[0]
    assert [line[2:].partition(" | ")[0] for line in table.splitlines()[2:]] == list(BROKEN)
