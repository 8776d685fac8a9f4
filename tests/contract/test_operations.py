"""docs/operations.md names log lines, commands and checks that exist, and has a box for every check."""

import re
import subprocess
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs/operations.md").read_text()
SOURCE = {
    name: "\n".join(path.read_text() for path in sorted((ROOT / folder).rglob("*.py")))
    for name, folder in {
        **{name: f"services/{name}" for name in ("ingest", "persister", "notifier", "flusher", "admin")},
        "runtime": "runtime",
    }.items()
}


def section(title: str) -> str:
    return TEXT.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


LINES = [
    (service, line)
    for services, line in re.findall(r"^\| ([a-z, ]+) \| `([^`]+)` \|", section("Log lines"), re.MULTILINE)
    for service in services.split(", ")
]


@pytest.mark.parametrize(("service", "line"), LINES, ids=lambda value: value)
def test_a_named_log_line_is_written_by_that_service(service: str, line: str) -> None:
    quoted = f'"{line}"'
    spoken = SOURCE["runtime"] + SOURCE.get(service, "")
    assert quoted in spoken, f"nobody in {service} logs {quoted}"


def test_the_lines_that_people_grep_for_are_in_the_table() -> None:
    assert ("flusher", "Queue flushed") in LINES
    assert ("notifier", "SMTP mail outcome stored") in LINES
    assert len(LINES) > 20


def test_every_line_about_the_queue_and_the_mail_server_is_explained() -> None:
    named = {line for _, line in LINES}
    logged = set(re.findall(r'"(Queue [^"]+)"', SOURCE["flusher"])) | set(
        re.findall(r'"(SMTP [^"]+)"', SOURCE["notifier"])
    )
    assert logged - named <= {"Queue not flushed on request", "SMTP mail outcome stored by another process"}


def commands() -> list[str]:
    return re.findall(r"`([^`\n]+)`", TEXT) + [
        line for block in re.findall(r"```\n(.*?)```", TEXT, re.DOTALL) for line in block.splitlines()
    ]


def test_every_make_target_and_module_that_it_names_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for command in commands():
        if named := re.match(r"make ([a-z-]+)", command):
            assert named[1] in targets, command
        for module in re.findall(r"python -m ([a-z_.]+)", command):
            path = ROOT / module.replace(".", "/")
            assert path.with_suffix(".py").exists() or (path / "__main__.py").exists(), command


def test_every_compose_command_names_services_and_options_that_exist() -> None:
    services = set(yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"])
    verbs = {"build", "pull", "config", "up", "down", "run", "exec", "logs", "stop"}
    seen = 0
    for command in commands():
        for verb, rest in re.findall(r"docker compose (\w+)([^|]*)", command):
            assert verb in verbs, command
            words = [word for word in rest.split() if not word.startswith("-")]
            if verb in ("run", "exec", "logs"):
                assert words[0] in services, command
            elif verb == "stop":
                assert set(words) <= services, command
            seen += 1
    assert seen > 10


def test_every_file_that_it_links_exists() -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)(?:#[^)]*)?\)", TEXT):
        assert (ROOT / "docs" / target).exists(), target
    for anchor in re.findall(r"\]\(#([^)]+)\)", TEXT):
        titles = {title.lower().replace(" ", "-") for title in re.findall(r"^#+ (.+)$", TEXT, re.MULTILINE)}
        assert anchor in titles, anchor


def test_checklist_has_exactly_one_box_per_doctor_check() -> None:
    source = "\n".join(path.read_text() for path in (ROOT / "deploy/cli/doctor").glob("*.py"))
    checks = set(re.findall(r"""\b(?:ok|warn|fail|severity)\(\s*"([a-z-]+)",""", source)) - {"doctor"}
    boxes = section("Production checklist")
    cells = [
        row.rpartition("| ")[2] for row in boxes.replace(" |\n", "\n").splitlines() if row.startswith("|")
    ]
    named = {word for cell in cells for word in re.findall(r"`([a-z-]+)`", cell)}
    assert checks == named


def test_the_blocks_that_are_tried_are_shell() -> None:
    for block in re.findall(r"```\n(.*?)```", TEXT, re.DOTALL):
        if "=" not in block.split(" ", 1)[0]:
            subprocess.run(["bash", "-n", "-c", block], check=True)
