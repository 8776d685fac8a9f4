"""A used port is reported before anything starts, with the variable that changes it."""

import socket

import pytest

from deploy.embedded.errors import EmbeddedError
from deploy.embedded.ports import require_free_ports
from deploy.embedded.servers.standalone import free_ports


def test_used_port_error_names_program_and_variable() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(EmbeddedError) as refused:
            require_free_ports({"kafka_controller": port})
    assert f"port {port} (kafka_controller) is already in use" in str(refused.value)
    assert "FASTCORE_EMBEDDED_KAFKA_CONTROLLER_PORT=" in str(refused.value)


def test_every_used_port_is_named_at_once() -> None:
    with socket.socket() as first, socket.socket() as second:
        for taken in (first, second):
            taken.bind(("127.0.0.1", 0))
            taken.listen()
        with pytest.raises(EmbeddedError) as refused:
            require_free_ports({"edge": first.getsockname()[1], "admin": second.getsockname()[1]})
    assert "FASTCORE_EMBEDDED_EDGE_PORT" in str(refused.value)
    assert "FASTCORE_EMBEDDED_ADMIN_PORT" in str(refused.value)


def test_one_port_for_two_programs_names_both_variables() -> None:
    port = free_ports(1)[0]
    with pytest.raises(EmbeddedError) as refused:
        require_free_ports({"edge": port, "ingest": port})
    assert "both edge and ingest" in str(refused.value)
    assert "FASTCORE_EMBEDDED_EDGE_PORT or FASTCORE_EMBEDDED_INGEST_PORT" in str(refused.value)


def test_free_ports_pass() -> None:
    first, second = free_ports(2)
    assert first != second
    require_free_ports({"edge": first, "ingest": second})
