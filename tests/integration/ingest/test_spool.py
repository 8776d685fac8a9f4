"""The gateway while its broker is missing, stops and comes back."""

import asyncio
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from contracts import topics
from deploy.cli.topics import provision
from deploy.embedded.servers.standalone import Kafka as Broker
from runtime.settings import Kafka
from tests.support.factories import records_of
from tests.support.services.processes import ServiceProcess, processes
from tests.support.wait import eventually
from tests.support.web.plain_http import plain_client

TOKEN = "a-token-of-a-website-1234567890"


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    made = Broker(tmp_path)
    yield made
    made.stop()


def environment(broker: Broker, **more: str) -> dict[str, str]:
    return {
        "KAFKA_BOOTSTRAP_SERVERS": broker.bootstrap_servers,
        "FASTCORE_SITE_INGEST_TOKEN": TOKEN,
        **more,
    }


async def post(gateway: ServiceProcess, number: int) -> httpx.Response:
    body = {"name": "Ada", "email": f"a{number}@example.com", "service": "Web", "message": str(number)}
    headers = {"Authorization": f"Bearer {TOKEN}", "Idempotency-Key": f"key-{number}"}
    async with plain_client(timeout=20) as client:
        return await client.post(f"{gateway.url}/inbound/leads", json=body, headers=headers)


async def status(gateway: ServiceProcess) -> Any:
    async with plain_client() as client:
        return (await client.get(f"{gateway.url}/internal/status")).json()


async def depth(gateway: ServiceProcess) -> int:
    return int((await status(gateway))["spool"]["depth"])


async def kafka_up(gateway: ServiceProcess) -> list[bool]:
    """Return whether the status and the metric report Kafka as available."""
    return [bool((await status(gateway))["kafka"]["ok"]), await is_up(gateway, "kafka_producer")]


async def is_up(gateway: ServiceProcess, part: str) -> bool:
    """Return whether the metric reports a part as available."""
    async with plain_client() as client:
        page = (await client.get(f"{gateway.url}/metrics")).text
    return f'fastcore_part_up{{part="{part}"}} 1.0' in page


def ids(records: list[Any]) -> set[str]:
    return {record.key.decode() for record in records}


async def test_spooled_leads_survive_kill_9_and_are_published_later(broker: Broker, tmp_path: Path) -> None:
    with processes(tmp_path, environment(broker), "ingest") as started:
        gateway = started["ingest"]
        await gateway.ready()
        answers = [await post(gateway, number) for number in range(20)]
        assert {answer.status_code for answer in answers} == {201}
        assert await depth(gateway) == 20
        gateway.kill()
        gateway.start()
        await gateway.ready()
        await eventually(lambda: depth(gateway), until=lambda n: n == 20, what="the dead worker's spool")
        await asyncio.to_thread(broker.start)
        kafka = Kafka(bootstrap_servers=broker.bootstrap_servers)
        await provision(kafka)
        await eventually(lambda: depth(gateway), until=lambda n: n == 0, seconds=40, what="an empty spool")
        records = await records_of(kafka, topics.RECEIVED.name)
        assert ids(records) == {answer.json()["leadId"] for answer in answers}
        assert not list(tmp_path.glob("spool/*/*.spool"))  # noqa: ASYNC240 - a few files


async def test_live_worker_publishes_the_spool_of_a_dead_worker(broker: Broker, tmp_path: Path) -> None:
    settings = environment(broker)
    with processes(tmp_path, settings, "ingest") as one, processes(tmp_path, settings, "ingest") as other:
        workers = [one["ingest"], other["ingest"]]
        for worker in workers:
            await worker.ready()
        answers = [await post(workers[number % 2], number) for number in range(20)]
        assert [await depth(worker) for worker in workers] == [10, 10]
        workers[0].kill()
        await eventually(lambda: depth(workers[1]), until=lambda n: n == 20, what="the dead worker's leads")
        await asyncio.to_thread(broker.start)
        kafka = Kafka(bootstrap_servers=broker.bootstrap_servers)
        await provision(kafka)
        await eventually(lambda: depth(workers[1]), until=lambda n: n == 0, seconds=40, what="an empty spool")
        await workers[1].stop()
        records = await records_of(kafka, topics.RECEIVED.name)
    assert sorted(record.key.decode() for record in records) == sorted(a.json()["leadId"] for a in answers)
    assert not list(tmp_path.glob("spool/*"))  # noqa: ASYNC240 - a few files


async def test_a_spool_that_cannot_be_written_is_reported_before_kafka_fails(
    broker: Broker, tmp_path: Path
) -> None:
    await asyncio.to_thread(broker.start)
    await provision(Kafka(bootstrap_servers=broker.bootstrap_servers))
    spool, moved = tmp_path / "spool", tmp_path / "moved"
    with processes(tmp_path, environment(broker), "ingest") as started:
        gateway = started["ingest"]
        await gateway.ready()
        assert await is_up(gateway, "spool")
        await asyncio.to_thread(spool.rename, moved)
        await asyncio.to_thread(spool.touch)  # root may write to every folder
        await eventually(lambda: is_up(gateway, "spool"), until=lambda up: not up, what="the report")
        await gateway.ready()  # Kafka works, so the gateway accepts leads
        assert (await post(gateway, 1)).status_code == 201
        await asyncio.to_thread(spool.unlink)
        await asyncio.to_thread(moved.rename, spool)
        await eventually(lambda: is_up(gateway, "spool"), what="the spool")


async def test_posts_get_a_201_while_kafka_hangs_fast_once_breaker_opens(
    broker: Broker, tmp_path: Path
) -> None:
    await asyncio.to_thread(broker.start)
    kafka = Kafka(bootstrap_servers=broker.bootstrap_servers)
    await provision(kafka)
    with processes(tmp_path, environment(broker), "ingest") as started:
        gateway = started["ingest"]
        await gateway.ready()
        accepted = [await post(gateway, 0)]
        await eventually(lambda: kafka_up(gateway), until=all, what="kafka up")
        os.kill(broker.pid, signal.SIGSTOP)
        try:
            # Before any lead fails. Kafka was reported as available beside an open breaker.
            await eventually(lambda: kafka_up(gateway), until=lambda said: not any(said), what="kafka down")
            accepted += await asyncio.gather(*(post(gateway, number) for number in range(1, 21)))
            assert (await status(gateway))["breaker"] == "open"
            assert not any(await kafka_up(gateway))
            begun = time.monotonic()
            accepted.append(await post(gateway, 21))
            assert time.monotonic() - begun < 1
        finally:
            os.kill(broker.pid, signal.SIGCONT)
        assert {answer.status_code for answer in accepted} == {201}
        await eventually(lambda: depth(gateway), until=lambda n: n == 0, seconds=60, what="an empty spool")
        assert (await status(gateway))["breaker"] == "closed"
        await eventually(lambda: kafka_up(gateway), until=all, what="kafka up again")
        found = ids(await records_of(kafka, topics.RECEIVED.name))
        assert found == {answer.json()["leadId"] for answer in accepted}


async def test_full_spool_answers_503_and_kafka_is_tried_again(broker: Broker, tmp_path: Path) -> None:
    settings = environment(broker, FASTCORE_INGEST_SPOOL_MAX_LEADS="2")
    with processes(tmp_path, settings, "ingest") as started:
        gateway = started["ingest"]
        await gateway.ready()
        answers = [await post(gateway, number) for number in range(3)]
        assert [answer.status_code for answer in answers] == [201, 201, 503]
        assert int(answers[2].headers["Retry-After"]) > 0
        assert answers[2].headers["content-type"] == "application/problem+json"

        async def readiness() -> int:
            async with plain_client() as client:
                return (await client.get(f"{gateway.url}/readyz")).status_code

        await eventually(readiness, until=lambda code: code == 503, what="red readiness")
        await asyncio.to_thread(broker.start)
        await provision(Kafka(bootstrap_servers=broker.bootstrap_servers))

        async def again() -> int:
            return (await post(gateway, 2)).status_code

        assert await eventually(again, until=lambda code: code == 201, seconds=40) == 201
        await eventually(readiness, until=lambda code: code == 200, what="green readiness")
