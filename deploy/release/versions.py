"""The version of FASTCore. pyproject.toml has it; every other place must agree with it.

The chart, the kit for websites, the image and the OpenAPI documents are released together, under one version.
"""

import re
from pathlib import Path
from typing import Final, NamedTuple

ROOT: Final = Path(__file__).parents[2]
VERSION: Final = re.compile(r"\d+\.\d+\.\d+(-[0-9A-Za-z.]+)?")


class Place(NamedTuple):
    """A file that has the version, and the pattern of the lines with it. Its group is the version."""

    file: str
    pattern: str


SOURCE: Final = Place("pyproject.toml", r'^version = "(.*)"$')
_NUMBER: Final = r"(\d+\.\d+\.\d+[-.0-9A-Za-z]*?)"
PLACES: Final = (
    SOURCE,
    Place("runtime/__init__.py", r'^VERSION: Final = "(.*)"$'),
    Place("deploy/kubernetes/fastcore/Chart.yaml", r'^(?:version|appVersion): "?([^"\n]*)"?$'),
    Place("site/package.json", r'^  "version": "(.*)",$'),
    Place("site/kit/package.json", r'^  "version": "(.*)",$'),
    Place("site/package-lock.json", r'"name": "(?:fastcore-site|@fastcore/site)",\n\s+"version": "(.*)",$'),
    Place("site/kit/README.md", rf"fastcore-site-{_NUMBER}\.tgz"),
    # Generated: `make docs` and `make chart write=1` write them.
    Place("docs/openapi/ingest.json", r'^    "version": "(.*)"$'),
    Place("docs/openapi/admin.json", r'^    "version": "(.*)"$'),
    Place("deploy/kubernetes/rendered/minimal.yaml", r'app\.kubernetes\.io/version: "?([^"\n]*)"?$'),
)
_GENERATED: Final = ("docs/", "deploy/kubernetes/rendered/")


def read_version(root: Path = ROOT) -> str:
    """Return the version in pyproject.toml."""
    (version,) = _find(SOURCE, root)
    return version


def find_differences(root: Path = ROOT) -> list[str]:
    """Return a line for each place whose version is missing, or is not that of pyproject.toml."""
    version, lines = read_version(root), list[str]()
    for place in PLACES:
        found = _find(place, root)
        if not found or set(found) != {version}:
            lines.append(f"{place.file} has {', '.join(sorted(set(found))) or 'no version'}, not {version}")
    return lines


def write_version(version: str, root: Path = ROOT) -> None:
    """Write the version into every file that is not generated. Raises `ValueError` if it is none."""
    if not VERSION.fullmatch(version):
        raise ValueError(f"{version!r} is no version such as 1.2.3 or 1.2.3-rc.1")
    for place in PLACES:
        if not place.file.startswith(_GENERATED):
            path = root / place.file
            path.write_text(_replace(place, path.read_text(encoding="utf-8"), version), encoding="utf-8")


def _find(place: Place, root: Path) -> list[str]:
    return re.findall(place.pattern, (root / place.file).read_text(encoding="utf-8"), re.MULTILINE)


def _replace(place: Place, text: str, version: str) -> str:
    def with_version(match: re.Match[str]) -> str:
        begin, end = match.start(1) - match.start(), match.end(1) - match.start()
        return match[0][:begin] + version + match[0][end:]

    return re.sub(place.pattern, with_version, text, flags=re.MULTILINE)
