"""The order in which the addresses of a name are tried, and how many names are looked up at once."""

import os
import socket
import subprocess
import sys

from runtime.event_loop import AddressInfo, _interleave


def address(family: int, host: str) -> AddressInfo:
    return (family, socket.SOCK_STREAM, 6, "", (host, 1))


def test_address_families_alternate_after_first_resolved_address() -> None:
    six = [address(socket.AF_INET6, host) for host in ("::1", "::2", "::3")]
    four = [address(socket.AF_INET, "127.0.0.1")]
    assert _interleave([*six, *four]) == [six[0], four[0], six[1], six[2]]


def test_many_names_are_looked_up_at_once() -> None:
    code = (
        "import os\n"
        "from runtime import event_loop\n"
        "event_loop.allow_lookups(100)\n"
        "async def main():\n"
        "    try:\n"
        "        await event_loop.asyncio.get_running_loop().getaddrinfo('nobody.invalid', 80)\n"
        "    except OSError:\n"
        "        print(len(os.listdir('/proc/self/task')))\n"
        "event_loop.run(main())\n"
    )
    environment = {name: value for name, value in os.environ.items() if name != "UV_THREADPOOL_SIZE"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60, check=True
    )
    assert int(done.stdout) > 200  # libuv lets lookups use half of its threads
