"""`python -m tests.bench.inputs.fixed_rate_client URL`: send leads at a fixed rate and time each answer.

Latency starts at the scheduled time, not at the send: a gateway that stalls for a second shows in every
request that was due in it (Tene's coordinated omission). On bare sockets and `select`, because an event loop
rounds its timers to milliseconds, and a task for each request takes as much processor time as the gateway.
"""

import json
import select
import socket
import time
from collections import deque
from typing import Annotated
from urllib.parse import urlsplit
from uuid import uuid4

import typer

from contracts.leads import EXAMPLE
from tests.bench.inputs.connection import is_complete, request
from tests.bench.measure import percentile

CONNECTIONS = 64
# A gateway that does not answer for so long ends the measurement.
PATIENCE_SECONDS = 30.0


def _request(number: int) -> bytes:
    body = json.dumps(EXAMPLE | {"email": f"{uuid4().hex}@example.com", "request_id": uuid4().hex}).encode()
    return request("POST", "/inbound/leads", body, str(number))


class _Load:
    """The connections, what each waits for, and the times of the answers in ms."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        where = (str(parts.hostname), parts.port or 80)
        self.idle = deque(socket.create_connection(where) for _ in range(CONNECTIONS))  # used in turn
        self.due = dict[socket.socket, float]()
        self.seen = dict[socket.socket, bytes]()
        self.took = list[float]()
        self.refused = 0

    def send(self, data: bytes, due: float) -> None:
        connection = self.idle.popleft()
        self.due[connection], self.seen[connection] = due, b""
        connection.sendall(data)

    def receive(self, seconds: float) -> bool:
        """Wait at most so long for answers, and take those that are there. Return False if nothing came."""
        readable = select.select(list(self.due), [], [], seconds)[0]
        for connection in readable:
            data = connection.recv(65_536)
            if not data:
                raise ConnectionResetError("closed before its answer")
            self.seen[connection] += data
            if is_complete(self.seen[connection]):
                self.took.append(1000 * (time.perf_counter() - self.due.pop(connection)))
                self.refused += not self.seen[connection].startswith(b"HTTP/1.1 201")
                self.idle.append(connection)
        return bool(readable)

    def close(self) -> None:
        for connection in (*self.idle, *self.due):
            connection.close()


def post(url: str, rate: float, seconds: float) -> dict[str, float]:
    """Post at the rate; return the percentiles of the times in ms, and the counts."""
    requests = [_request(number) for number in range(int(rate * seconds))]  # before the measurement
    load, sent, begun = _Load(url), 0, time.perf_counter()
    try:
        while len(load.took) < len(requests):
            if sent == len(requests) or not load.idle:
                if not load.receive(PATIENCE_SECONDS):
                    raise TimeoutError(f"no answer for {PATIENCE_SECONDS:.0f} s")
                continue
            due = begun + sent / rate
            load.receive(max(0.0, due - time.perf_counter()))
            if time.perf_counter() >= due and load.idle:
                load.send(requests[sent], due)
                sent += 1
    finally:
        load.close()
    return {
        "p50": percentile(load.took, 0.5),
        "p99": percentile(load.took, 0.99),
        "sent": len(load.took),
        "refused": load.refused,
    }


def main(
    url: Annotated[str, typer.Argument(help="Of the gateway, without a path.")],
    rate: Annotated[float, typer.Option(help="Leads a second.")] = 300,
    seconds: Annotated[float, typer.Option(help="How long.")] = 10,
) -> None:
    """Post leads at a fixed rate and print the response times as JSON."""
    typer.echo(json.dumps(post(url, rate, seconds)))


if __name__ == "__main__":
    typer.run(main)
