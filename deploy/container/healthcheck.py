"""`python -m deploy.container.healthcheck [PATH [PORT...]]`: the image's health check.

It runs every few seconds in a new process, so it imports as little as possible: with `http.client` it takes
twice the processor time.
"""

import os
import socket
import sys

# The edge of the all-in-one container, the six services, and the mailbox.
PORTS = (8000, 8001, 8002, 8003, 8004, 8005, 8006, 8025)
TIMEOUT_SECONDS = 8


def request_status(port: int, path: str) -> int | None:
    """Send a GET request for `path` to this port, and return the HTTP status.

    Returns None if nothing listens on the port, and 0 if the request fails or takes too long.
    """
    request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n"
    try:
        with socket.create_connection(("127.0.0.1", port), TIMEOUT_SECONDS) as connection:
            connection.sendall(request.encode())
            with connection.makefile("rb") as response:
                status_line = response.readline(1000)
                response.read()  # so that the server does not log a client that left
    except ConnectionRefusedError:
        return None
    except OSError:
        return 0
    version, _, rest = status_line.partition(b" ")
    return int(rest[:3]) if version.startswith(b"HTTP/1.") and rest[:3].isdigit() else 0


def checked_ports() -> list[int]:
    """Return FASTCORE_HTTP_PORT alone, or the usual ports and those in FASTCORE_HTTP_PORTS."""
    if port := os.environ.get("FASTCORE_HTTP_PORT"):
        return [int(port)]
    moved = os.environ.get("FASTCORE_HTTP_PORTS", "").split(",")
    return [*PORTS, *(int(each.rpartition("=")[2]) for each in moved if each.strip())]


def main(path: str = "/livez", *ports: str) -> None:
    """Exit with 0 if at least one port listens, and every port that listens answers 200.

    Without `ports`, those of `checked_ports` are checked.
    """
    statuses = {port: request_status(port, path) for port in map(int, ports or checked_ports())}
    listening = {port: status for port, status in statuses.items() if status is not None}
    failed = {port: status for port, status in listening.items() if status != 200}
    if not listening or failed:
        reasons = ", ".join(f"{status or 'no answer'} on port {port}" for port, status in failed.items())
        sys.exit(f"{path}: {reasons or 'nothing listens'}")


if __name__ == "__main__":
    main(*sys.argv[1:])
