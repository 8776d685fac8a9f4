"""The workflow of a release: what it runs, and with which versions. `make check` runs zizmor on it."""

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / ".github/workflows/release.yml").read_text()
JOBS: dict[str, Any] = yaml.safe_load(TEXT)["jobs"]
COMMANDS = "\n".join(step.get("run", "") for job in JOBS.values() for step in job["steps"])
PAGE = (ROOT / "docs/releasing.md").read_text()


def test_every_action_is_pinned_to_a_commit_with_its_version() -> None:
    used = re.findall(r"uses: (.+)", TEXT)
    assert used
    for action in used:
        assert re.fullmatch(r"[\w/.-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", action), action
    pins = {(action.split("@")[0], action.split("@")[1]) for action in used}
    assert len(pins) == len({name for name, _ in pins}), "one action has two versions"


def test_what_the_workflow_builds_is_what_the_dry_run_builds() -> None:
    makefile = (ROOT / "Makefile").read_text()
    assert "deploy.release build" in COMMANDS
    assert re.search(r"^release-dry-run:.*\n\t.* deploy\.release build", makefile, re.MULTILINE)
    assert "make release-dry-run" in (ROOT / ".ci/run").read_text()


def test_the_image_gets_its_version_and_its_commit() -> None:
    dockerfile = (ROOT / "deploy/Dockerfile").read_text()
    for argument in ("VERSION", "REVISION"):
        assert f'--build-arg {argument}="' in COMMANDS
        assert f'.{argument.lower()}="${{{argument}}}"' in dockerfile
    assert "ENV FASTCORE_REVISION=${REVISION}" in dockerfile


def test_only_the_job_that_publishes_may_write() -> None:
    assert yaml.safe_load(TEXT)["permissions"] == {}
    assert JOBS["build"]["permissions"] == {"contents": "read"}
    assert JOBS["publish"]["if"] == "github.ref_type == 'tag'"
    assert JOBS["publish"]["environment"] == "release"


def test_variables_and_secrets_are_documented() -> None:
    for name in set(re.findall(r"\b(?:vars|secrets)\.(\w+)", TEXT)):
        assert f"`{name}`" in PAGE


def test_the_published_chart_names_the_repository_and_the_image(tmp_path: Path) -> None:
    chart = tmp_path / "deploy/kubernetes/fastcore"
    shutil.copytree(ROOT / "deploy/kubernetes/fastcore", chart)
    [commands] = [step["run"] for step in JOBS["build"]["steps"] if "sed -i" in step.get("run", "")]
    github = {"GITHUB_SERVER_URL": "https://git.example", "GITHUB_REPOSITORY": "acme/leads"}
    environment = {**os.environ, **github, "IMAGE": "registry.example/acme/fastcore"}
    subprocess.run(["bash", "-euc", commands], cwd=tmp_path, env=environment, check=True)
    metadata = yaml.safe_load((chart / "Chart.yaml").read_text())
    assert (metadata["home"], metadata["sources"]) == (
        "https://git.example/acme/leads",
        ["https://git.example/acme/leads"],
    )
    assert "fastcore.example" not in (chart / "Chart.yaml").read_text()
    values = yaml.safe_load((chart / "values.yaml").read_text())
    assert values["image"]["repository"] == "registry.example/acme/fastcore"
