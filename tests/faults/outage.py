"""`python -m tests.faults.outage`: Kafka away for a minute under a steady load, timed at the gateway.

Only gateway and Kafka, without a proxy between: what is timed is the gateway's answer, every five
seconds. Afterwards the topic must hold every lead that got a 201.
"""

import asyncio
import os
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated, Literal
from uuid import uuid4

import httpx
import typer

from contracts import topics
from deploy.embedded.parts import Kafka as Broker
from deploy.topics import provision
from runtime.settings import Kafka
from tests.support.factories import records_of
from tests.support.processes import ServiceProcess, processes
from tests.support.wait import eventually

TOKEN = "a-token-of-a-website-1234567890"
SLICE_SECONDS = 5
How = Literal["stopped", "killed", "absent"]


class Meter:
    """Posts at a fixed rate, whatever the answers take, and keeps each answer's time."""

    def __init__(self, gateway: ServiceProcess) -> None:
        self._url = f"{gateway.url}/inbound/leads"
        self.began = time.monotonic()
        self.answers: list[tuple[float, float, int]] = []  # sent at, took, status
        self.ids: set[str] = set()

    async def post_for(self, seconds: float, rate: float) -> None:
        limits = httpx.Limits(max_connections=2000, max_keepalive_connections=2000)
        async with httpx.AsyncClient(timeout=30, limits=limits) as client, asyncio.TaskGroup() as posts:
            begun = time.monotonic()
            for number in range(int(seconds * rate)):
                await asyncio.sleep(max(0.0, begun + number / rate - time.monotonic()))
                posts.create_task(self._post(client))

    async def _post(self, client: httpx.AsyncClient) -> None:
        body = {"name": "Ada", "email": f"{uuid4().hex}@example.com", "service": "Web", "message": "Hello"}
        sent = time.monotonic()
        answer = await client.post(self._url, json=body, headers={"Authorization": f"Bearer {TOKEN}"})
        self.answers.append((sent - self.began, time.monotonic() - sent, answer.status_code))
        if answer.status_code == 201:
            self.ids.add(answer.json()["leadId"])

    def report(self) -> None:
        """Print a line for every five seconds: answers, refusals, p50, p99 and the slowest in ms."""
        last = max(at for at, _, _ in self.answers)
        typer.echo("from s  posts   not 201   p50 ms   p99 ms   max ms")
        for first in range(0, int(last) + 1, SLICE_SECONDS):
            part = [a for a in self.answers if first <= a[0] < first + SLICE_SECONDS]
            if part:
                took = sorted(1000 * seconds for _, seconds, _ in part)
                refused = sum(status != 201 for _, _, status in part)
                p50, p99 = took[len(took) // 2], took[min(len(took) - 1, int(len(took) * 0.99))]
                typer.echo(
                    f"{first:6}  {len(part):5}   {refused:7}   {p50:6.1f}   {p99:6.1f}   {took[-1]:6.1f}"
                )


async def _away(broker: Broker, how: How, seconds: float) -> None:
    if how == "stopped":
        os.kill(broker.pid, signal.SIGSTOP)
        await asyncio.sleep(seconds)
        os.kill(broker.pid, signal.SIGCONT)
        return
    if how == "killed":
        broker.kill()
    await asyncio.sleep(seconds)
    await asyncio.to_thread(broker.start)


async def _run(how: How, seconds: float, rate: float, folder: Path) -> bool:
    broker = Broker(folder)
    kafka = Kafka(bootstrap_servers=broker.bootstrap_servers)
    try:
        if how != "absent":
            await asyncio.to_thread(broker.start)
            await provision(kafka)
        settings = {
            "KAFKA_BOOTSTRAP_SERVERS": broker.bootstrap_servers,
            "FASTCORE_SITE_INGEST_TOKEN": TOKEN,
            "LOG_LEVEL": "WARNING",
        }
        with processes(folder, settings, "ingest") as started:
            gateway = started["ingest"]
            await gateway.ready()
            meter = Meter(gateway)
            load = asyncio.create_task(meter.post_for(seconds + 20, rate))
            await asyncio.sleep(5)
            await _away(broker, how, seconds)
            back = time.monotonic()
            await provision(kafka)
            await load

            async def spooled() -> int:
                async with httpx.AsyncClient() as client:
                    status = (await client.get(f"{gateway.url}/internal/status")).json()
                return int(status["spool"]["depth"])

            await eventually(spooled, until=lambda depth: depth == 0, seconds=120, what="an empty spool")
            drained = time.monotonic() - back
            await gateway.stop()
        held = {record.key.decode() for record in await records_of(kafka, topics.RECEIVED.name)}
    finally:
        broker.stop()
    meter.report()
    lost = meter.ids - held
    refused = sum(status != 201 for _, _, status in meter.answers)
    typer.echo(
        f"{len(meter.ids)} accepted, {refused} refused, {len(lost)} lost; spool empty after {drained:.1f} s"
    )
    return not lost and not refused


def main(
    how: Annotated[str, typer.Option(help="stopped (SIGSTOP), killed (kill -9) or absent (not there yet).")],
    seconds: Annotated[float, typer.Option(help="How long Kafka is away.")] = 60,
    rate: Annotated[float, typer.Option(help="Posts a second.")] = 200,
) -> None:
    """Take Kafka away under a steady load, and time the gateway's answers."""
    if how not in ("stopped", "killed", "absent"):
        raise typer.BadParameter("choose one of: stopped, killed, absent")
    with tempfile.TemporaryDirectory() as folder:
        if not asyncio.run(_run(how, seconds, rate, Path(folder))):  # type: ignore[arg-type]
            sys.exit("an accepted lead is missing, or a good one was refused")


if __name__ == "__main__":
    typer.run(main)
