"""Sets up and starts the servers of an environment. `server_faults` breaks them."""

import asyncio
from pathlib import Path
from typing import Protocol


class Startable(Protocol):
    """A server that can be started again."""

    def start(self) -> None: ...


async def start_part(part: Startable) -> None:
    """Start a server, with two retries: its port may be in use by a client for a moment."""
    for last in (False, False, True):
        try:
            await asyncio.to_thread(part.start)
        except Exception:
            if last:
                raise
            await asyncio.sleep(2)
        else:
            return


def listen_behind_proxy(folder: Path, port: int, advertised_port: int, host: str = "127.0.0.1") -> None:
    """Give the broker a second listener that advertises the address of the proxy."""
    path = folder / "kafka" / "server.properties"
    added = {
        "listeners": f"PROXIED://{host}:{port}",
        "advertised.listeners": f"PROXIED://{host}:{advertised_port}",
        "listener.security.protocol.map": "PROXIED:PLAINTEXT",
    }
    lines = path.read_text().splitlines()
    path.write_text(
        "\n".join(f"{line},{added[k]}" if (k := line.partition("=")[0]) in added else line for line in lines)
    )
