"""Each runbook has commands that exist for each installation, and greps for lines that are logged."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.runbooks import PAGES, ROOT, first_steps

STATUS = [
    "docker compose run --rm doctor status",
    "kubectl -n leads exec deploy/leads-fastcore-admin -- python -m deploy.cli.doctor status",
    "make doctor a=status",
]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
OBJECTS: list[dict[str, Any]] = [
    each for each in yaml.safe_load_all((ROOT / "deploy/kubernetes/rendered/full.yaml").read_text()) if each
]
LOGS = re.compile(r"docker compose logs (?P<services>[a-z ]+) \| grep -E '(?P<words>[^']+)'")


def source(service: str) -> str:
    """Return the code that may log a line of this service."""
    files = [path for folder in ("runtime", f"services/{service}") for path in (ROOT / folder).rglob("*.py")]
    return "\n".join(path.read_text(encoding="utf-8") for path in files)


@pytest.mark.parametrize("page", PAGES)
def test_each_page_shows_what_fails_now_in_each_installation(page: str) -> None:
    assert STATUS in first_steps(page)


@pytest.mark.parametrize("page", PAGES)
def test_each_step_has_a_command_for_each_installation(page: str) -> None:
    for commands in first_steps(page):
        assert len(commands) == 3
        compose, kubernetes, embedded = commands
        assert compose.startswith("docker compose ")
        assert kubernetes.startswith(("kubectl -n leads ", 'psql "$DATABASE_URL"'))
        assert embedded.startswith("make ")


@pytest.mark.parametrize("page", PAGES)
def test_no_page_calls_a_port_that_compose_does_not_publish(page: str) -> None:
    assert not re.findall(r"(?:curl|wget|http)\b[^\n]*:\d{4}", PAGES[page])


@pytest.mark.parametrize("page", PAGES)
def test_the_three_commands_for_a_log_find_the_same_lines(page: str) -> None:
    for compose, kubernetes, embedded in first_steps(page):
        if not (found := LOGS.fullmatch(compose)):
            assert "logs" not in compose + kubernetes + embedded
            continue
        names, words = found["services"].split(), found["words"]
        label = "app.kubernetes.io/component"
        selector = f"{label}={names[0]}" if len(names) == 1 else f"'{label} in ({','.join(names)})'"
        quoted = names[0] if len(names) == 1 else f'"{found["services"]}"'
        assert kubernetes == f"kubectl -n leads logs -l {selector} --tail=-1 | grep -E '{words}'"
        assert embedded == f"make logs s={quoted} g='{words}'"


@pytest.mark.parametrize("page", PAGES)
def test_what_a_page_greps_for_is_logged_by_one_of_the_services(page: str) -> None:
    for compose, _, _ in first_steps(page):
        if not (found := LOGS.fullmatch(compose)):
            continue
        code = "\n".join(map(source, found["services"].split()))
        literals = "\n".join(re.findall(r'"([^"\n]+)"', code))
        for words in found["words"].split("|"):
            assert words in literals, f"no log line has {words!r}"


@pytest.mark.parametrize("page", PAGES)
def test_what_the_commands_name_exists(page: str) -> None:
    pods = {
        each["spec"]["template"]["metadata"]["labels"].get("app.kubernetes.io/component")
        for each in OBJECTS
        if each["kind"] in ("Deployment", "StatefulSet")
    }
    deployments = {each["metadata"]["name"] for each in OBJECTS if each["kind"] == "Deployment"}
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for command in (each for commands in first_steps(page) for each in commands):
        for name in re.findall(r"docker compose (?:exec|run --rm) ([a-z]+)", command):
            assert name in COMPOSE
        for names in re.findall(r"docker compose logs ([a-z ]+) \|", command):
            assert set(names.split()) <= COMPOSE.keys() & pods
        for name in re.findall(r"deploy/([a-z-]+)", command):
            assert name in deployments
        for name in re.findall(r"^make ([a-z-]+)", command):
            assert name in targets
        for module in re.findall(r"python -m ([a-z_.]+)", command):
            path = ROOT / Path(*module.split("."))
            assert path.with_suffix(".py").exists() or (path / "__main__.py").exists()


def test_the_doctor_of_compose_takes_the_command_as_its_argument() -> None:
    assert COMPOSE["doctor"]["entrypoint"] == ["python", "-m", "deploy.cli.doctor"]
    assert "command" not in COMPOSE["doctor"]
