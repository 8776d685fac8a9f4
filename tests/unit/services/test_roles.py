"""FASTCORE_ROLES names the services of one process. A mistake ends the start with one line."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from runtime.settings import Http
from services.roles import PORTS, Roles
from tests.support.services.processes import ROOT

KAFKA = {"KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:9"}
DATABASE = {"DATABASE_URL": "postgresql://fastcore@127.0.0.1:9/fastcore"}


def run(folder: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run `python -m services` in an empty folder with only these variables."""
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "COLUMNS": "200", **variables}
    return subprocess.run(
        [sys.executable, "-m", "services", *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(
    ("value", "names"),
    [
        ("all", tuple(PORTS)),
        ("admin, ingest", ("ingest", "admin")),
        ("ingest,ingest", ("ingest",)),
        ("ingest,all", tuple(PORTS)),
        (" , ", ()),
    ],
)
def test_roles_are_services_in_a_fixed_order(value: str, names: tuple[str, ...]) -> None:
    assert Roles(roles=value).names == names


def test_an_unknown_role_is_refused() -> None:
    with pytest.raises(ValidationError, match="there is no service 'ingset'"):
        Roles(roles="ingset,admin")


def test_ports_of_several_services() -> None:
    assert Http(ports="ingest=9001, admin=9005").ports_by_service == {"ingest": 9001, "admin": 9005}
    assert Http().ports_by_service == {}


@pytest.mark.parametrize("value", ["ingest", "ingest=0", "ingest=65536", "=8001", "ingest=http"])
def test_a_wrong_port_is_refused(value: str) -> None:
    with pytest.raises(ValidationError, match="name=port"):
        Http(ports=value)


def test_without_a_name_or_roles_nothing_starts(tmp_path: Path) -> None:
    ended = run(tmp_path)
    assert ended.returncode == 2
    assert "name a service, or set FASTCORE_ROLES" in ended.stderr


def test_one_port_for_several_services_is_refused(tmp_path: Path) -> None:
    ended = run(tmp_path, FASTCORE_ROLES="all", FASTCORE_HTTP_PORT="8001", **KAFKA, **DATABASE)
    assert ended.returncode == 1
    assert (
        ended.stderr == "wrong settings: FASTCORE_HTTP_PORT: use FASTCORE_HTTP_PORTS for several services\n"
    )


def test_a_wrong_setting_is_one_line_with_the_service(tmp_path: Path) -> None:
    ended = run(tmp_path, FASTCORE_ROLES="persister,admin", **KAFKA, **DATABASE)
    assert ended.returncode == 1
    (line,) = ended.stderr.splitlines()
    assert line.startswith("admin: wrong settings: FASTCORE_ADMIN_TOKEN: ")


def test_workers_need_a_process_of_ingest_alone(tmp_path: Path) -> None:
    token = {"FASTCORE_SITE_INGEST_TOKEN": "a-token-of-a-website-1234567890"}
    ended = run(tmp_path, FASTCORE_ROLES="all", FASTCORE_INGEST_WORKERS="2", **token, **KAFKA, **DATABASE)
    (line,) = ended.stderr.splitlines()
    assert line.startswith("ingest: wrong settings: FASTCORE_INGEST_WORKERS: ")


def test_a_port_of_an_unknown_service_is_refused(tmp_path: Path) -> None:
    ended = run(tmp_path, FASTCORE_ROLES="all", FASTCORE_HTTP_PORTS="ingset=9001", **KAFKA, **DATABASE)
    assert ended.stderr == "wrong settings: FASTCORE_HTTP_PORTS: there is no service 'ingset'\n"


def test_roles_on_the_command_line_are_checked(tmp_path: Path) -> None:
    ended = run(tmp_path, "ingest,ingset")
    assert ended.returncode == 2
    assert "there is no service 'ingset'; choose from: all, ingest, persister" in ended.stderr
