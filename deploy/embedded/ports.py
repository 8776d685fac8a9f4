"""Whether the ports are free, said before anything starts and with the variable that moves each."""

import errno
import socket
from collections.abc import Mapping

from deploy.embedded.errors import EmbeddedError
from deploy.embedded.settings import port_variable


def refuse_used(ports: Mapping[str, int]) -> None:
    """Stop with every port that another program holds, or that two of ours would."""
    problems = [
        f"port {port} ({name}) is already in use: stop what listens there, or choose another "
        f"with {port_variable(name)}=<port>"
        for name, port in ports.items()
        if _is_used(port)
    ]
    seen: dict[int, str] = {}
    for name, port in ports.items():
        if port in seen:
            problems.append(
                f"port {port} is meant for both {seen[port]} and {name}: "
                f"move one with {port_variable(seen[port])} or {port_variable(name)}"
            )
        seen[port] = name
    if problems:
        raise EmbeddedError("\n".join(problems))


def _is_used(port: int) -> bool:
    # As our servers bind: a port that only lingers after its server (TIME_WAIT) is free.
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            if error.errno == errno.EACCES:
                raise EmbeddedError(f"port {port} is not for this user: choose one above 1023") from error
            return True
    return False
