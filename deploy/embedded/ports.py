"""Checks that all ports are free before anything starts. An error names the variable that changes a port."""

import errno
import socket
from collections.abc import Mapping

from deploy.embedded.errors import EmbeddedError
from deploy.embedded.settings import port_variable


def require_free_ports(ports: Mapping[str, int]) -> None:
    """Raise one `EmbeddedError` that names every port that is in use or that two programs share.

    `ports` holds the port of each program by the program's name.
    """
    problems = [
        f"port {port} ({name}) is already in use: stop the program that listens there, or choose another "
        f"with {port_variable(name)}=<port>"
        for name, port in ports.items()
        if _is_used(port)
    ]
    users: dict[int, str] = {}
    for name, port in ports.items():
        if port in users:
            problems.append(
                f"port {port} is set for both {users[port]} and {name}: "
                f"change one with {port_variable(users[port])} or {port_variable(name)}"
            )
        users[port] = name
    if problems:
        raise EmbeddedError("\n".join(problems))


def _is_used(port: int) -> bool:
    # SO_REUSEADDR as the servers set it: a port in TIME_WAIT counts as free.
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            if error.errno == errno.EACCES:
                raise EmbeddedError(f"this user may not use port {port}: choose one above 1023") from error
            return True
    return False
