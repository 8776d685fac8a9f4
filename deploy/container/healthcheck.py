"""`python -m deploy.container.healthcheck [PATH]`: the image's health check.

It runs every few seconds in a new process. It imports only the standard library, so that it starts quickly.
"""

import http.client
import os
import sys

# The edge of the all-in-one container, the six services, and the mailbox.
PORTS = (8000, 8001, 8002, 8003, 8004, 8005, 8006, 8025)
TIMEOUT_SECONDS = 8


def request_status(port: int, path: str) -> int | None:
    """Send a GET request for `path` to this port, and return the HTTP status.

    Returns None if nothing listens on the port, and 0 if the request fails or takes too long.
    """
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_SECONDS)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    except ConnectionRefusedError:
        return None
    except (OSError, http.client.HTTPException):
        return 0
    finally:
        connection.close()


def main(path: str = "/livez") -> None:
    """Exit with 0 if at least one port listens, and every port that listens answers 200."""
    configured = os.environ.get("FASTCORE_HTTP_PORT")
    statuses = {port: request_status(port, path) for port in ([int(configured)] if configured else PORTS)}
    listening = {port: status for port, status in statuses.items() if status is not None}
    failed = {port: status for port, status in listening.items() if status != http.client.OK}
    if not listening or failed:
        reasons = ", ".join(f"{status or 'no answer'} on port {port}" for port, status in failed.items())
        sys.exit(f"{path}: {reasons or 'nothing listens'}")


if __name__ == "__main__":
    main(*sys.argv[1:])
