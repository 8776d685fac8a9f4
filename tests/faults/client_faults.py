"""What clients do to the gateway while others post good leads: slowly, hugely, deeply, often."""

import asyncio
import contextlib
import random
import time
from collections import Counter
from collections.abc import AsyncIterator

import httpx

from tests.faults.environment import SITE_TOKEN, World

CONNECTIONS = 2000
SLOW_SECONDS = 14.0  # past the deadline of a body, 10 s
# A good lead's way through validation, without being one: the checker knows every lead that is.
PROBE_SECONDS = 5.0
DEPTH = 100_000
MEGABYTE = 1_000_000


async def slow_bodies(world: World, rng: random.Random) -> None:
    """Two thousand connections send a byte now and then; each is dropped, and nobody else waits for them."""
    gateway = world.services["ingest"]
    async with world.alone("ingest"):
        world.note(f"{CONNECTIONS} bodies arrive slowly")
        ends = asyncio.gather(*(_dribble(gateway.port, rng.uniform(0, 3)) for _ in range(CONNECTIONS)))
        slowest, until = 0.0, time.monotonic() + SLOW_SECONDS
        async with httpx.AsyncClient(timeout=PROBE_SECONDS) as client:
            while time.monotonic() < until:
                slowest = max(slowest, await _probe(client, gateway.url))
                await asyncio.sleep(0.5)
        told = Counter(await ends)
        world.note(f"they got {dict(told)}; another client waited {slowest:.1f} s at most")
        assert told["408"] + told["cut"] == CONNECTIONS, f"slow bodies ended with {dict(told)}"


async def _dribble(port: int, after: float) -> str:
    """Return the status that a body got which does not end, `cut` for none, `open` where nobody ends it."""
    await asyncio.sleep(after)
    writer = None
    try:
        async with asyncio.timeout(SLOW_SECONDS + 20):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(_HEAD + b"Content-Length: 1000\r\n\r\n")
            answer = asyncio.create_task(reader.readline())
            while not (await asyncio.wait({answer}, timeout=3))[0]:
                writer.write(b" ")
            return (answer.result().split() or [b"", b"cut"])[1].decode()
    except OSError:
        return "cut"
    except TimeoutError:
        return "open"
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


async def huge_bodies(world: World, rng: random.Random) -> None:
    """10 MB, and JSON of depth 100,000 and as deep as a lead may be long; with and without their length."""
    deep = b'{"x":' * DEPTH + b"1" + b"}" * DEPTH
    fitting = 10_000
    bodies = {
        "10 MB": b'{"name":"' + b"x" * (10 * MEGABYTE) + b'"}',
        f"depth {DEPTH}": deep,
        f"depth {fitting}": b'{"x":' * fitting + b"1" + b"}" * fitting,
        "60,000 open brackets": b"[" * 60_000,
    }
    told = Counter[str]()

    async def chunks(body: bytes) -> AsyncIterator[bytes]:
        for first in range(0, len(body), 65_536):
            yield body[first : first + 65_536]

    async def post(client: httpx.AsyncClient, name: str, *, chunked: bool) -> None:
        content = chunks(bodies[name]) if chunked else bodies[name]
        said = "cut"
        with contextlib.suppress(httpx.TransportError):
            answer = await client.post(
                f"{world.services['ingest'].url}/inbound/leads",
                content=content,
                headers={**_AUTH, "Content-Type": "application/json"},
            )
            said = str(answer.status_code)
        told[f"{name}: {said}"] += 1
        assert said in ("cut", "400", "413", "422"), f"{said} to {name}"

    async with world.alone("ingest"), httpx.AsyncClient(timeout=20) as client:
        for _ in range(rng.randint(3, 5)):
            await asyncio.gather(
                *(post(client, name, chunked=chunked) for name in bodies for chunked in (True, False))
            )
    world.note(f"huge and deep bodies: {dict(sorted(told.items()))}")
