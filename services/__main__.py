"""`python -m services NAME`: run one service."""

from typing import Annotated

import typer

from runtime.http.server import serve

PORTS = {
    "ingest": 8001,
    "persister": 8002,
    "notifier": 8003,
    "flusher": 8004,
    "admin": 8005,
    "webhooks": 8006,
}


def main(
    name: Annotated[str, typer.Argument(help=f"One of: {', '.join(PORTS)}.")],
) -> None:
    """Run one FASTCore service in the foreground.

    Its settings come from the environment and `.env`; `.env.example` names them all. It listens on
    FASTCORE_HTTP_HOST and FASTCORE_HTTP_PORT (default 127.0.0.1 and 8001 to 8006, in the order above)
    and stops within FASTCORE_HTTP_GRACEFUL_TIMEOUT_SECONDS of SIGTERM, finishing the current work.
    """
    if name not in PORTS:
        raise typer.BadParameter(f"there is no service {name!r}; choose one of: {', '.join(PORTS)}")
    serve(f"services.{name}.app:create_app", PORTS[name], trust_proxy_headers=name == "admin")


if __name__ == "__main__":
    typer.run(main)
