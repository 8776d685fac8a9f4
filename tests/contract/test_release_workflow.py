"""The workflow of a release: what it runs, and with which versions. `make check` runs zizmor on it."""

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
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
    registry = {"REGISTRY": "registry.example", "NAMESPACE": "acme"}
    subprocess.run(
        ["bash", "-euc", commands], cwd=tmp_path, env={**os.environ, **github, **registry}, check=True
    )
    metadata = yaml.safe_load((chart / "Chart.yaml").read_text())
    assert (metadata["home"], metadata["sources"]) == (
        "https://git.example/acme/leads",
        ["https://git.example/acme/leads"],
    )
    assert "fastcore.example" not in (chart / "Chart.yaml").read_text()
    values = yaml.safe_load((chart / "values.yaml").read_text())
    assert values["image"]["repository"] == "registry.example/acme/fastcore"


def run_step(name: str, folder: Path, version: str = "1.2.3", **programs: str) -> tuple[int, list[str]]:
    """Run a step with programs that note how they were called. Return its exit code and the calls."""
    [step] = [step for job in JOBS.values() for step in job["steps"] if step.get("name") == name]
    for program, script in programs.items():
        path = folder / "bin" / program
        path.parent.mkdir(exist_ok=True)
        path.write_text(f'#!/bin/sh\necho "{program} $*" >> "{folder}/calls"\n{script}\n')
        path.chmod(0o755)
    calls = folder / "calls"
    calls.unlink(missing_ok=True)
    environment = {
        "PATH": f"{folder}/bin:{os.environ['PATH']}",
        "VERSION": version,
        "GITHUB_OUTPUT": "output",
    }
    options = ("--noprofile", "--norc", "-eo", "pipefail", "-c")  # GitHub's for `shell: bash`
    done = subprocess.run(["bash", *options, step["run"]], cwd=folder, env=environment, check=False)
    return done.returncode, calls.read_text().splitlines() if calls.exists() else []


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with the files that the job `build` made."""
    dist = tmp_path / "dist"
    dist.mkdir()
    for name in ("fastcore-1.2.3.tgz", "fastcore-site-1.2.3.tgz", "fastcore-image.cdx.json", "notes.md"):
        (dist / name).write_text(name)
    return tmp_path


def test_every_step_fails_if_a_program_in_a_pipe_fails(folder: Path) -> None:
    # Without a shell, GitHub uses `bash -e`: then `tee` would hide that the push failed.
    assert yaml.safe_load(TEXT)["defaults"]["run"]["shell"] == "bash"
    assert run_step("Push the chart", folder, helm="exit 1")[0] == 1


def test_a_build_without_a_registry_is_refused(folder: Path) -> None:
    # `docker login ""` would send the token to Docker Hub.
    shutil.copytree(ROOT / "deploy/kubernetes/fastcore", folder / "deploy/kubernetes/fastcore")
    status, _ = run_step("Let the published chart name this repository and the published image", folder)
    assert status != 0


@pytest.mark.parametrize(("version", "tag"), [("1.2.3", "latest"), ("1.2.3-rc.1", "next")])
def test_a_prerelease_is_not_the_latest_kit(folder: Path, version: str, tag: str) -> None:
    status, calls = run_step("Publish the kit on npm", folder, version, npm="[ $1 != view ]")
    assert status == 0
    assert f"npm publish ./dist/fastcore-site-{version}.tgz --tag {tag} " in calls[1]


@pytest.mark.parametrize(("version", "kind"), [("1.2.3", "--latest"), ("1.2.3-rc.1", "--prerelease")])
def test_a_prerelease_is_not_the_latest_release(folder: Path, version: str, kind: str) -> None:
    status, calls = run_step("Publish the release", folder, version, gh='[ "$2" != view ]')
    assert status == 0
    assert f"gh release create v{version} {kind} " in calls[1]


def test_a_second_run_publishes_what_is_missing(folder: Path) -> None:
    status, calls = run_step("Publish the kit on npm", folder, npm="[ $1 = view ] && echo 1.2.3")
    assert (status, calls) == (0, ["npm view @fastcore/site@1.2.3 version"])
    status, calls = run_step("Publish the release", folder, gh="")
    assert status == 0
    assert [call.split()[:3] for call in calls] == [["gh", "release", "view"], ["gh", "release", "upload"]]


def test_checksums_of_the_release_are_of_the_files_that_it_has(folder: Path) -> None:
    _, calls = run_step("Publish the release", folder, gh="")
    published = {Path(word).name for word in calls[-1].split() if word.startswith("dist/")}
    summed = {line.split()[1] for line in (folder / "dist/SHA256SUMS").read_text().splitlines()}
    assert summed == published - {"SHA256SUMS"}
