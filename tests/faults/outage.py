"""`python -m tests.faults.outage`: stops Kafka for a minute under load, and times the gateway's answers.

Only gateway and Kafka, without a proxy between: what is timed is the gateway's answer, every five
seconds. Afterwards the topic must hold every lead that got a 201.
"""

import asyncio
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal
from uuid import uuid4

import httpx
import typer

from contracts import topics
from deploy.cli.topics import provision
from deploy.embedded.servers.standalone import Kafka as Broker
from runtime.settings import Kafka
from tests.support.factories import records_of
from tests.support.services.processes import ServiceProcess, processes
from tests.support.wait import eventually

TOKEN = "a-token-of-a-website-1234567890"
SLICE_SECONDS = 5
How = Literal["stopped", "killed", "absent"]


class Meter:
    """Posts at a fixed rate, independent of the answers, and records each answer's time.

    Uses bare connections: a Python HTTP client needs more processor time than the gateway.
    """

    def __init__(self, gateway: ServiceProcess) -> None:
        self._port = gateway.port
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
        self.began = time.monotonic()
        self.answers: list[tuple[float, float, int]] = []  # sent at, took, status
        self.ids: set[str] = set()

    async def post_for(self, seconds: float, rate: float) -> None:
        async with asyncio.TaskGroup() as posts:
            begun = time.monotonic()
            for number in range(int(seconds * rate)):
                await asyncio.sleep(max(0.0, begun + number / rate - time.monotonic()))
                posts.create_task(self._post())
        for _, writer in self._idle:
            writer.close()

    async def _post(self) -> None:
        body = (
            f'{{"name":"Ada","email":"{uuid4().hex}@example.com","service":"Web","message":"Hello"}}'.encode()
        )
        head = (
            f"POST /inbound/leads HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        sent = time.monotonic()
        reader, writer, answer = await self._send_request(head.encode() + body)
        length = int(answer.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        text = await reader.readexactly(length)
        status = int(answer.split(b" ", 2)[1])
        self.answers.append((sent - self.began, time.monotonic() - sent, status))
        self._idle.append((reader, writer))
        if status == 201:
            self.ids.add(json.loads(text)["leadId"])

    async def _send_request(self, request: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter, bytes]:
        """Send on an idle connection, or on a new one if the gateway has just closed the idle one."""
        while self._idle:
            reader, writer = self._idle.pop()
            try:
                writer.write(request)
                return reader, writer, await reader.readuntil(b"\r\n\r\n")
            except (asyncio.IncompleteReadError, ConnectionError):
                writer.close()
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        writer.write(request)
        return reader, writer, await reader.readuntil(b"\r\n\r\n")

    def report(self) -> str:
        """Return a line for every five seconds: answers, refusals, p50, p99 and the slowest in ms."""
        last = max((at for at, _, _ in self.answers), default=0)
        lines = ["from s  posts   not 201   p50 ms   p99 ms   max ms"]
        for first in range(0, int(last) + 1, SLICE_SECONDS):
            part = [a for a in self.answers if first <= a[0] < first + SLICE_SECONDS]
            if part:
                took = sorted(1000 * seconds for _, seconds, _ in part)
                refused = sum(status != 201 for _, _, status in part)
                p50, p99 = took[len(took) // 2], took[min(len(took) - 1, int(len(took) * 0.99))]
                lines.append(
                    f"{first:6}  {len(part):5}   {refused:7}   {p50:6.1f}   {p99:6.1f}   {took[-1]:6.1f}"
                )
        return "\n".join(lines)


@dataclass(frozen=True)
class Outcome:
    """What the gateway answered while Kafka was away, and what the topic has afterwards."""

    accepted: int
    refused: int
    lost: int
    drained_seconds: float
    """From the broker's start until the spool was empty."""
    times: str
    """The answers of every five seconds."""


async def _stop_broker(broker: Broker, how: How, seconds: float) -> None:
    if how == "stopped":
        os.kill(broker.pid, signal.SIGSTOP)
        await asyncio.sleep(seconds)
        os.kill(broker.pid, signal.SIGCONT)
        return
    if how == "killed":
        broker.kill()
    await asyncio.sleep(seconds)
    await asyncio.to_thread(broker.start)


async def run(
    how: How, seconds: float, rate: float, folder: Path, log: Callable[[str], None] = lambda _event: None
) -> Outcome:
    """Post while Kafka is away for so long. `log` gets each event."""
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
            log(f"kafka {how}")
            await _stop_broker(broker, how, seconds)
            log("kafka is back")
            back = time.monotonic()
            await provision(kafka)
            await load

            async def spooled() -> int:
                async with httpx.AsyncClient() as client:
                    status = (await client.get(f"{gateway.url}/internal/status")).json()
                return int(status["spool"]["depth"])

            await eventually(spooled, until=lambda depth: depth == 0, seconds=120, what="an empty spool")
            drained = time.monotonic() - back
            log("the spool is empty")
            await gateway.stop()
        held = {record.key.decode() for record in await records_of(kafka, topics.RECEIVED.name)}
    finally:
        broker.stop()
    refused = sum(status != 201 for _, _, status in meter.answers)
    return Outcome(len(meter.ids), refused, len(meter.ids - held), drained, meter.report())


def main(
    how: Annotated[str, typer.Option(help="stopped (SIGSTOP), killed (kill -9) or absent (not there yet).")],
    seconds: Annotated[float, typer.Option(help="How long Kafka is away.")] = 60,
    rate: Annotated[float, typer.Option(help="Posts a second.")] = 200,
) -> None:
    """Stop Kafka under a steady load, and time the gateway's answers."""
    if how not in ("stopped", "killed", "absent"):
        raise typer.BadParameter("choose one of: stopped, killed, absent")
    with tempfile.TemporaryDirectory() as folder:
        done = asyncio.run(run(how, seconds, rate, Path(folder)))  # type: ignore[arg-type]
    typer.echo(done.times)
    typer.echo(
        f"{done.accepted} accepted, {done.refused} refused, {done.lost} lost;"
        f" spool empty after {done.drained_seconds:.1f} s"
    )
    if done.lost or done.refused:
        sys.exit("an accepted lead is missing, or a good one was refused")


if __name__ == "__main__":
    typer.run(main)
