"""The production image has the packages that production needs. The mailbox's are in an image of its own."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "deploy/Dockerfile").read_text()
GROUPS = tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"]


def locked(name: str) -> dict[str, str]:
    """Return the versions of a lock by the name of the package."""
    return dict(re.findall(r"^([\w.-]+)==(\S+)", (ROOT / name).read_text(), re.MULTILINE))


def names(group: str) -> set[str]:
    """Return the packages that a dependency group names itself."""
    return {re.split(r"[<>=\[]", each)[0] for each in GROUPS[group] if isinstance(each, str)}


def test_production_has_no_package_of_the_mailbox_or_embedded_stack() -> None:
    assert "aiosmtpd" in names("mailbox")
    assert "supervisor" in names("embedded")
    assert not (names("mailbox") | names("embedded")) & locked("requirements.lock").keys()


def test_the_mailbox_has_the_versions_that_are_tested() -> None:
    assert names("mailbox") <= locked("requirements-mailbox.lock").keys()
    assert locked("requirements-mailbox.lock").items() <= locked("requirements-dev.lock").items()
    assert locked("requirements.lock").items() <= locked("requirements-dev.lock").items()


def test_a_build_without_a_target_makes_the_production_image() -> None:
    *_, production, mailbox, default = re.split(r"^FROM ", DOCKERFILE, flags=re.MULTILINE)
    assert production.startswith("${PYTHON_IMAGE} AS production\n")
    assert mailbox.startswith("production AS mailbox\n")
    assert default.startswith("production\n")
    assert DOCKERFILE.count("requirements-mailbox.lock") == mailbox.count("requirements-mailbox.lock") > 0
