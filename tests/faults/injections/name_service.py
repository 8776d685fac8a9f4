"""Runs a service that looks up the receiver's name in a file.

`python -m tests.faults.injections.name_service NAME`.
The file takes the place of the name servers, so that a round can move the name or make the lookup fail. The
receiver is on this machine, and its address counts as public. Everything behind the lookup is the product's.
"""

import os
import socket
import sys
from pathlib import Path
from typing import Any, Final

import services.__main__
import services.webhooks.public_addresses as addresses
from runtime.event_loop import Loop

HOST: Final = "receiver.faults.example"
VARIABLE: Final = "FAULT_SUITE_NAMES"
RECEIVER: Final = "127.0.0.1"
# The address of the receiver, where it is another one.
RECEIVER_VARIABLE: Final = "FAULT_SUITE_RECEIVER"


def write_address(path: Path, address: str) -> None:
    """Let the name have this address from now on. An empty text makes its lookups fail."""
    written = path.with_suffix(".new")
    written.write_text(address)
    written.replace(path)


def install() -> None:
    """Replace the lookup of the receiver's name in this process."""
    names, look_up, is_public = Path(os.environ[VARIABLE]), Loop.getaddrinfo, addresses.is_public
    receiver = os.environ.get(RECEIVER_VARIABLE, RECEIVER)

    async def getaddrinfo(self: Any, host: Any, port: Any, **options: Any) -> Any:
        if host == HOST:
            host = names.read_text()  # noqa: ASYNC240 - a few bytes
            if not host:
                raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        return await look_up(self, host, port, **options)

    Loop.getaddrinfo = getaddrinfo  # type: ignore[method-assign]
    addresses.is_public = lambda address: address == receiver or is_public(address)


def main(name: str) -> None:
    """Run the service."""
    install()
    services.__main__.main(name)


if __name__ == "__main__":
    main(*sys.argv[1:])
