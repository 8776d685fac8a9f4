"""`python -m deploy.container.check_services NAME=URL... [--wait-seconds N]`: check that services are ready.

`helm test` runs it in a pod. It asks `/readyz` of each service, and prints a line for each.
"""

import json
import sys
import time
from typing import Annotated, Final
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

import typer

REQUEST_SECONDS: Final = 5.0
RETRY_SECONDS: Final = 2.0


def find_problem(url: str) -> str | None:
    """Ask a service whether it is ready. Return None if it is, and otherwise why not."""
    try:
        with urlopen(f"{url}/readyz", timeout=REQUEST_SECONDS):  # noqa: S310 - the chart's own URLs
            return None
    except HTTPError as error:
        return _red_parts(error)
    except (URLError, OSError) as error:
        return f"no answer: {getattr(error, 'reason', error)}"


def _red_parts(error: HTTPError) -> str:
    try:
        parts = json.load(error)["parts"]
        red = [f"{name}: {part['reason']}" for name, part in parts.items() if not part["ok"]]
    except (ValueError, KeyError, TypeError):
        return f"HTTP {error.code}"
    return "; ".join(red)


def check(services: dict[str, str], wait_seconds: float) -> dict[str, str]:
    """Return the problem of each service that is not ready, by its name.

    Asks again until all services are ready, for at most `wait_seconds`.
    """
    ends_at = time.monotonic() + wait_seconds
    while True:
        problems = {name: problem for name, url in services.items() if (problem := find_problem(url))}
        if not problems or time.monotonic() >= ends_at:
            return problems
        time.sleep(RETRY_SECONDS)


def main(
    services: Annotated[list[str], typer.Argument(help="NAME=URL of each service.")],
    wait_seconds: Annotated[float, typer.Option(help="The longest time to wait.")] = 60.0,
) -> None:
    """Ask every service whether it is ready. Exit with 1 if one is not."""
    urls = dict(service.split("=", 1) for service in services)
    problems = check(urls, wait_seconds)
    for name in urls:
        print(f"{name} is not ready: {problems[name]}" if name in problems else f"{name} is ready")
    if problems:
        sys.exit(1)


if __name__ == "__main__":
    typer.run(main)
