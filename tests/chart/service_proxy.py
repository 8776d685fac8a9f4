"""A Service as kube-proxy serves it: each new connection goes to one of the endpoints at random.

There are no retries. A connection stays with its pod, even when the pod is no longer an endpoint.
"""

import asyncio
import random
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Final

from tests.chart.pods import Pod
from tests.chart.rendered_objects import Service

# How long a terminating pod still gets new connections: the endpoints reach every node with a delay.
ENDPOINTS_DELAY_SECONDS: Final = 2.0
CONNECT_SECONDS: Final = 5.0


def endpoints(service: Service, pods: Iterable[Pod]) -> list[Pod]:
    """Return the pods that get new connections now."""
    now, spec = time.monotonic(), service.spec
    return [
        pod
        for pod in pods
        if spec.selector.items() <= pod.template.metadata.labels.items()
        and pod.address
        and (spec.publish_not_ready_addresses or (pod.ready and not _left(pod, now)))
    ]


def _left(pod: Pod, now: float) -> bool:
    return pod.terminating_since is not None and now > pod.terminating_since + ENDPOINTS_DELAY_SECONDS


async def serve(service: Service, address: str, pods: Callable[[], Iterable[Pod]]) -> asyncio.Server:
    """Listen on the Service's port at this address."""
    [port] = service.spec.ports

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, TimeoutError):
            if found := endpoints(service, pods()):
                pod = random.choice(found)
                async with asyncio.timeout(CONNECT_SECONDS):
                    target = next(
                        each.container_port for each in pod.main.ports if each.name == port.target_port
                    )
                    answers, requests = await asyncio.open_connection(pod.address, target)
                await asyncio.gather(_pass_on(reader, requests), _pass_on(answers, writer))
        writer.close()

    return await asyncio.start_server(connected, address, port.port)


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Pass everything on. Close the other side when this side has closed."""
    try:
        while part := await reader.read(65536):
            writer.write(part)
            await writer.drain()
    except OSError:
        pass
    finally:
        writer.close()
