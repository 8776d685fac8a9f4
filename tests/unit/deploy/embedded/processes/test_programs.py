"""The programs of the embedded stack: a process for each service, or one for several."""

import pytest

from deploy.embedded.environment import read_roles
from deploy.embedded.errors import EmbeddedError
from deploy.embedded.processes import programs
from deploy.embedded.settings import SERVICES, Stack


def commands(*roles: str) -> dict[str, str]:
    """Return the last argument of each program's command."""
    return {launch.name: launch.command[-1] for launch in programs.services(Stack(), roles)}


def test_each_service_is_a_program_of_its_own() -> None:
    assert commands() == {name: name for name in SERVICES}
    assert commands("admin") == {name: name for name in SERVICES}


def test_services_of_one_process_are_one_program() -> None:
    assert commands(*SERVICES) == {"services": ",".join(SERVICES)}
    found = commands("persister", "notifier", "webhooks", "flusher")
    assert list(found) == ["ingest", "services", "admin"]
    assert found["services"] == "persister,notifier,webhooks,flusher"


def test_services_of_one_process_have_the_stack_s_ports() -> None:
    stack = Stack(ingest_port=9001, admin_port=9005)
    (launch,) = programs.services(stack, SERVICES)
    assert launch.environment["FASTCORE_HTTP_PORT"] == ""
    ports = dict(each.split("=") for each in launch.environment["FASTCORE_HTTP_PORTS"].split(","))
    assert ports == {name: str(stack.port(name)) for name in SERVICES}


def test_roles_come_from_the_configuration() -> None:
    assert read_roles({}) == ()
    assert set(read_roles({"FASTCORE_ROLES": "all"})) == set(SERVICES)
    with pytest.raises(EmbeddedError, match="FASTCORE_ROLES: there is no service 'ingset'"):
        read_roles({"FASTCORE_ROLES": "ingset"})
