"""How a world's servers are set up and started; what breaks them lives in `on_servers`."""

import asyncio
from pathlib import Path

from deploy.embedded.servers.standalone import Part


async def start_part(part: Part) -> None:
    """Start a server; a port that a client happens to use as its own is free again in a moment."""
    for last in (False, False, True):
        try:
            await asyncio.to_thread(part.start)
        except Exception:
            if last:
                raise
            await asyncio.sleep(2)
        else:
            return


def listen_behind_proxy(folder: Path, port: int, advertised_port: int) -> None:
    """Give the broker a second listener, which tells clients that it is where the proxy listens."""
    path = folder / "kafka" / "server.properties"
    added = {
        "listeners": f"PROXIED://127.0.0.1:{port}",
        "advertised.listeners": f"PROXIED://127.0.0.1:{advertised_port}",
        "listener.security.protocol.map": "PROXIED:PLAINTEXT",
    }
    lines = path.read_text().splitlines()
    path.write_text(
        "\n".join(f"{line},{added[k]}" if (k := line.partition("=")[0]) in added else line for line in lines)
    )
