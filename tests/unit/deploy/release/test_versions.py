"""The version is the same everywhere, and is changed everywhere at once."""

import shutil
from pathlib import Path

import pytest

from deploy.release.versions import PLACES, ROOT, find_differences, read_version, write_version


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """Return a folder with copies of the files that have the version."""
    for place in PLACES:
        (tmp_path / place.file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / place.file, tmp_path / place.file)
    return tmp_path


def test_every_place_has_the_version_of_pyproject() -> None:
    assert find_differences() == []


def test_a_new_version_is_written_into_every_file_that_is_not_generated(copy: Path) -> None:
    write_version("12.3.4-rc.1", copy)
    assert read_version(copy) == "12.3.4-rc.1"
    left = {line.split(" ")[0] for line in find_differences(copy)}
    assert left == {
        "docs/openapi/ingest.json",
        "docs/openapi/admin.json",
        "deploy/kubernetes/rendered/minimal.yaml",
    }


@pytest.mark.parametrize("place", PLACES[1:], ids=lambda place: place.file)
def test_a_file_with_another_version_is_found(copy: Path, place: object) -> None:
    file = copy / str(getattr(place, "file", ""))
    file.write_text(file.read_text().replace(read_version(copy), "9.9.9"))
    assert [line.split(" ")[0] for line in find_differences(copy)] == [str(file.relative_to(copy))]


@pytest.mark.parametrize("version", ["", "v1.2.3", "1.2", "1.2.3\n", "latest"])
def test_what_is_no_version_is_refused(copy: Path, version: str) -> None:
    with pytest.raises(ValueError, match="is no version"):
        write_version(version, copy)
