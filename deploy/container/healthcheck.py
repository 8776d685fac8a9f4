"""`python -m deploy.container.healthcheck [PATH]`: the health check of the image.

Only the standard library, for it starts a Python every few seconds.
"""

import http.client
import os
import sys

# All five behind the edge on 8000, one service on its own port, or the mailbox.
PORTS = (8000, 8001, 8002, 8003, 8004, 8005, 8025)
TIMEOUT_SECONDS = 8


def ask(port: int, path: str) -> int | None:
    """Answer the status, 0 where it took too long, or None where nothing listens."""
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
    """Exit 0 where something listens and all that listens answers 200."""
    given = os.environ.get("FASTCORE_HTTP_PORT")
    answers = {port: ask(port, path) for port in ([int(given)] if given else PORTS)}
    found = {port: status for port, status in answers.items() if status is not None}
    bad = {port: status for port, status in found.items() if status != http.client.OK}
    if not found or bad:
        said = ", ".join(f"{status or 'no answer'} on port {port}" for port, status in bad.items())
        sys.exit(f"{path}: {said or 'nothing listens'}")


if __name__ == "__main__":
    main(*sys.argv[1:])
