"""`python -m tests.bench.inputs.fixed_rate_client URL`: send leads at a fixed rate and time each answer.

Latency starts at the scheduled time, not at the send: a gateway that stalls for a second shows in every
request that was due in it (Tene's coordinated omission).
"""

import asyncio
import json
import time
from typing import Annotated
from uuid import uuid4

import typer
import uvloop

from contracts.leads import EXAMPLE
from tests.bench.inputs.connection import Connection, request
from tests.bench.measure import percentile

CONNECTIONS = 64


def _request(number: int) -> bytes:
    body = json.dumps(EXAMPLE | {"email": f"{uuid4().hex}@example.com", "request_id": uuid4().hex}).encode()
    return request("POST", "/inbound/leads", body, str(number))


async def post(url: str, rate: float, seconds: float) -> dict[str, float]:
    """Post at the rate; return the percentiles of the times in ms, and the counts."""
    idle = asyncio.Queue[Connection]()  # round robin, because servers close idle connections
    for _ in range(CONNECTIONS):
        idle.put_nowait(await Connection.to(url))
    took, refused = list[float](), 0

    async def one(number: int, due: float) -> None:
        nonlocal refused
        connection = await idle.get()
        answer = await connection.request(requests[number])
        took.append(1000 * (time.perf_counter() - due))
        refused += not answer.startswith(b"HTTP/1.1 201")
        idle.put_nowait(connection)

    requests = [_request(number) for number in range(int(rate * seconds))]  # before the measurement
    begun = time.perf_counter()
    async with asyncio.TaskGroup() as posts:
        for number in range(len(requests)):
            due = begun + number / rate
            if (wait := due - time.perf_counter()) > 0:
                await asyncio.sleep(wait)
            posts.create_task(one(number, due))
    while not idle.empty():
        idle.get_nowait().close()
    return {
        "p50": percentile(took, 0.5),
        "p99": percentile(took, 0.99),
        "sent": len(took),
        "refused": refused,
    }


def main(
    url: Annotated[str, typer.Argument(help="Of the gateway, without a path.")],
    rate: Annotated[float, typer.Option(help="Leads a second.")] = 300,
    seconds: Annotated[float, typer.Option(help="How long.")] = 10,
) -> None:
    """Post leads at a fixed rate and print the response times as JSON."""
    typer.echo(json.dumps(uvloop.run(post(url, rate, seconds))))


if __name__ == "__main__":
    typer.run(main)
