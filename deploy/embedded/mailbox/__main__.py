"""`python -m deploy.embedded.mailbox`: run the mailbox as a process."""

from pathlib import Path
from typing import Annotated

import typer
import uvicorn

from deploy.embedded.mailbox.store import MailStore
from deploy.embedded.mailbox.web import create_app
from runtime.http.protocol import bounded_protocol
from runtime.http.uvicorn_server import run


def main(
    folder: Annotated[Path, typer.Option(help="The folder of the emails.")],
    smtp_port: Annotated[int, typer.Option(help="The port for SMTP.")] = 1025,
    http_port: Annotated[int, typer.Option(help="The port for browsers.")] = 8025,
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
) -> None:
    """Accept emails on one port, and show them on another."""
    config = uvicorn.Config(
        create_app(MailStore(folder), smtp_port, host),
        host=host,
        port=http_port,
        http=bounded_protocol(10),
        ws="none",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=3,
    )
    run(config)


if __name__ == "__main__":
    typer.run(main)
