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

    The settings come from the environment and `.env`; `.env.example` names all settings. The service listens
    on FASTCORE_HTTP_HOST (default 127.0.0.1) and FASTCORE_HTTP_PORT (default: each service has its own port,
    from 8001 for ingest to 8006 for webhooks). After SIGTERM, the service finishes its current work and stops
    within FASTCORE_HTTP_GRACEFUL_TIMEOUT_SECONDS.
    """
    if name not in PORTS:
        raise typer.BadParameter(f"there is no service {name!r}; choose one of: {', '.join(PORTS)}")
    serve(f"services.{name}.app:create_app", PORTS[name], trust_proxy_headers=name == "admin")


if __name__ == "__main__":
    typer.run(main)
