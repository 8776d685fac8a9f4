"""Which hosts count as this machine."""

import pytest

from deploy.cli.doctor.check_result import is_this_machine


@pytest.mark.parametrize(
    ("host", "is_so"),
    [
        *((here, True) for here in ("localhost", "127.0.0.1", "::1", "[::1]", "/run/pg", None)),
        *((away, False) for away in ("10.0.0.1", "db")),
    ],
)
def test_only_loopback_and_sockets_are_this_machine(host: str | None, is_so: bool) -> None:
    assert is_this_machine(host) is is_so
