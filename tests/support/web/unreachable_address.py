"""An address that never answers a connection attempt, like one behind a dead route."""

import contextlib
import socket
from collections.abc import Iterator


@contextlib.contextmanager
def blackhole(host: str = "127.0.0.2", port: int = 0) -> Iterator[int]:
    """Listen on `host` with a full queue, so that the kernel drops each SYN. Yields the port."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(0)
        address = listener.getsockname()
        with contextlib.suppress(BlockingIOError, TimeoutError):
            for _ in range(8):
                filler = stack.enter_context(socket.socket())
                filler.settimeout(0.2)
                filler.connect(address)
        yield address[1]
