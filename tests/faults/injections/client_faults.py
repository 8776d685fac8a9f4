"""Abusive clients of the gateway, while others post good leads: slow, huge and deeply nested bodies."""

import asyncio
import contextlib
import random
import time
from collections import Counter
from collections.abc import AsyncIterator

import httpx

from tests.faults.environment import SITE_TOKEN, Environment
from tests.support.patience import patient

CONNECTIONS = 2000
SLOW_SECONDS = 14.0  # past the deadline of a body, 10 s
# A probe is validated like a lead, but it is invalid, because the checker must know every lead.
PROBE_SECONDS = 5.0
DEPTH = 100_000
MEGABYTE = 1_000_000


async def slow_bodies(environment: Environment, rng: random.Random) -> None:
    """Two thousand connections send single bytes; each is closed, and other clients do not wait."""
    gateway = environment.services["ingest"]
    async with environment.exclusive("ingest"):
        environment.log_event(f"{CONNECTIONS} bodies arrive slowly")
        ends = asyncio.gather(*(_dribble(gateway.port, rng.uniform(0, 3)) for _ in range(CONNECTIONS)))
        slowest, until = 0.0, time.monotonic() + SLOW_SECONDS
        async with httpx.AsyncClient(timeout=patient(PROBE_SECONDS)) as client:
            while time.monotonic() < until:
                slowest = max(slowest, await _probe(client, gateway.url))
                await asyncio.sleep(0.5)
        statuses = Counter(await ends)
        environment.log_event(f"results {dict(statuses)}; another client waited {slowest:.1f} s at most")
        assert statuses["408"] + statuses["cut"] == CONNECTIONS, f"slow bodies ended with {dict(statuses)}"


async def _dribble(port: int, after: float) -> str:
    """Return the status for an endless body, `cut` for no response, or `open` if nothing ends it."""
    await asyncio.sleep(after)
    writer, bound = None, asyncio.timeout(patient(SLOW_SECONDS + 20))
    try:
        async with bound:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(_HEAD + b"Content-Length: 1000\r\n\r\n")
            answer = asyncio.create_task(reader.readline())
            while not (await asyncio.wait({answer}, timeout=3))[0]:
                writer.write(b" ")
            return (answer.result().split() or [b"", b"cut"])[1].decode()
    except OSError:  # TimeoutError is one
        return "open" if bound.expired() else "cut"
    finally:
        if writer:
            writer.transport.abort()


_HEAD = (
    b"POST /inbound/leads HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    b"Authorization: Bearer " + SITE_TOKEN.encode() + b"\r\n"
)


async def _probe(client: httpx.AsyncClient, url: str) -> float:
    began = time.monotonic()
    answer = await client.post(f"{url}/inbound/leads", json={}, headers=_AUTH)
    assert answer.status_code == 422, f"{answer.status_code} to a probe"
    return time.monotonic() - began


_AUTH = {"Authorization": f"Bearer {SITE_TOKEN}"}


async def huge_bodies(environment: Environment, rng: random.Random) -> None:
    """Bodies of 10 MB and deeply nested JSON, with and without Content-Length."""
    deep = b'{"x":' * DEPTH + b"1" + b"}" * DEPTH
    fitting = 10_000
    bodies = {
        "10 MB": b'{"name":"' + b"x" * (10 * MEGABYTE) + b'"}',
        f"depth {DEPTH}": deep,
        f"depth {fitting}": b'{"x":' * fitting + b"1" + b"}" * fitting,
        "60,000 open brackets": b"[" * 60_000,
    }
    statuses = Counter[str]()

    async def chunks(body: bytes) -> AsyncIterator[bytes]:
        for first in range(0, len(body), 65_536):
            yield body[first : first + 65_536]

    async def post(client: httpx.AsyncClient, name: str, *, chunked: bool) -> None:
        content = chunks(bodies[name]) if chunked else bodies[name]
        status = "cut"
        with contextlib.suppress(httpx.TransportError):
            answer = await client.post(
                f"{environment.services['ingest'].url}/inbound/leads",
                content=content,
                headers={**_AUTH, "Content-Type": "application/json"},
            )
            status = str(answer.status_code)
        statuses[f"{name}: {status}"] += 1
        assert status in ("cut", "400", "413", "422"), f"{status} to {name}"

    async with environment.exclusive("ingest"), httpx.AsyncClient(timeout=patient(20)) as client:
        for _ in range(rng.randint(3, 5)):
            await asyncio.gather(
                *(post(client, name, chunked=chunked) for name in bodies for chunked in (True, False))
            )
    environment.log_event(f"huge and deep bodies: {dict(sorted(statuses.items()))}")
