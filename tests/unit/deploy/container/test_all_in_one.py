"""The all-in-one container: its check of the settings, and its edge."""

import asyncio
import os
import sys
from pathlib import Path

import pytest

from deploy.container import all_in_one
from deploy.settings import SERVICE_SETTINGS, missing_variables
from tests.support.wait import eventually

REQUIRED = {
    "ADMIN_EMAIL", "DATABASE_URL", "FASTCORE_ADMIN_TOKEN", "FASTCORE_SITE_INGEST_TOKEN",
    "FROM_EMAIL", "KAFKA_BOOTSTRAP_SERVERS", "SMTP_HOST",
}  # fmt: skip


def test_all_that_is_missing_is_named_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in REQUIRED:
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(SystemExit) as ended:
        all_in_one.main()
    message = str(ended.value)
    assert all(name in message for name in REQUIRED)
    assert len(message.splitlines()) == 1
    assert ".env" in message


def test_a_variable_that_is_set_is_not_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in REQUIRED - {"SMTP_HOST"}:
        monkeypatch.setenv(name, "x")
    monkeypatch.delenv("SMTP_HOST", raising=False)
    assert {name for each in SERVICE_SETTINGS for name in missing_variables(each)} == {"SMTP_HOST"}


def test_a_variable_that_a_file_sets_is_not_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in REQUIRED:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv(f"{name}_FILE", "/run/secrets/x")
    assert {name for each in SERVICE_SETTINGS for name in missing_variables(each)} == set()


def test_the_edge_is_reachable_from_outside_the_container() -> None:
    command = all_in_one.edge_command("state")
    assert command[1:3] == ["-m", "deploy.embedded.servers.edge"]
    assert command[command.index("--host") + 1] == "0.0.0.0"  # noqa: S104
    assert command[command.index("--folder") + 1] == "state"


async def test_the_edge_ends_with_the_services(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    program = (
        "import os, pathlib, sys, time;"
        " pathlib.Path(sys.argv[1]).write_text(str(os.getpid())); time.sleep(60)"
    )
    async with all_in_one.running_edge(sys.executable, "-c", program, str(pid_file)):
        pid = int(await eventually(lambda: asyncio.to_thread(_read, pid_file), seconds=30))
        os.kill(pid, 0)  # it runs
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def _read(path: Path) -> str:
    return path.read_text() if path.exists() else ""


async def test_an_edge_that_ends_by_itself_ends_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    stopping = asyncio.Event()
    monkeypatch.setattr("runtime.tasks.end_process", stopping.set)
    async with all_in_one.running_edge(sys.executable, "-c", "raise SystemExit(1)"):
        await asyncio.wait_for(stopping.wait(), 20)
