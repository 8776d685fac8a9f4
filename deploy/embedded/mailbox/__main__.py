"""`python -m deploy.embedded.mailbox`: the mail sink as a process of its own."""

from pathlib import Path
from typing import Annotated

import typer
import uvicorn

from deploy.embedded.mailbox.mails import Mails
from deploy.embedded.mailbox.web import application
from runtime.http.protocol import bounded_protocol


def main(
    folder: Annotated[Path, typer.Option(help="Where the mails are kept.")],
    smtp_port: Annotated[int, typer.Option(help="The port for SMTP.")] = 1025,
    http_port: Annotated[int, typer.Option(help="The port for browsers.")] = 8025,
    host: Annotated[str, typer.Option(help="The address of both.")] = "127.0.0.1",
) -> None:
    """Take mails on one port and show them on another."""
    uvicorn.run(
        application(Mails(folder), smtp_port, host),
        host=host,
        port=http_port,
        http=bounded_protocol(10),
        ws="none",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=3,
    )


if __name__ == "__main__":
    typer.run(main)
