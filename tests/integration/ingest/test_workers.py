"""A gateway with two workers on one port: it answers as one gateway, and loses no lead."""

import asyncio
import contextlib
import itertools
import random
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from prometheus_client.parser import text_string_to_metric_families

from contracts import topics
from deploy.cli.topics import provision
from deploy.embedded.servers.standalone import Kafka as Broker
from runtime.settings import Kafka
from tests.support.factories import records_of
from tests.support.services.processes import ServiceProcess, processes
from tests.support.wait import eventually
from tests.support.web.plain_http import plain_client

TOKEN = "a-token-of-a-website-1234567890"
POSTERS = 8


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    made = Broker(tmp_path)
    yield made
    made.stop()


def environment(broker: Broker, **more: str) -> dict[str, str]:
    return {
        "KAFKA_BOOTSTRAP_SERVERS": broker.bootstrap_servers,
        "FASTCORE_SITE_INGEST_TOKEN": TOKEN,
        "FASTCORE_INGEST_WORKERS": "2",
        **more,
    }


class Website:
    """Posts leads. Each has a key, and is posted again with it if the connection fails."""

    def __init__(self, gateway: ServiceProcess) -> None:
        self._gateway = gateway
        self._numbers = itertools.count()
        self.accepted: list[str] = []
        self.refused: list[int] = []
        self.connections_failed = 0

    async def post(self) -> None:
        number = next(self._numbers)
        body = {"name": "Ada", "email": f"a{number}@example.com", "service": "Web", "message": str(number)}
        headers = {"Authorization": f"Bearer {TOKEN}", "Idempotency-Key": f"key-{number}"}
        while True:
            try:
                async with plain_client(timeout=20) as client:
                    response = await client.post(
                        f"{self._gateway.url}/inbound/leads", json=body, headers=headers
                    )
            except httpx.HTTPError:
                self.connections_failed += 1
                await asyncio.sleep(0.05)
                continue
            if response.status_code == 201:
                self.accepted.append(response.json()["leadId"])
            else:
                self.refused.append(response.status_code)
            return

    @asynccontextmanager
    async def load(self) -> AsyncIterator[None]:
        """Post with several clients while the context lasts, and wait for every response at its end."""
        ended = asyncio.Event()

        async def post_repeatedly() -> None:
            while not ended.is_set():
                await self.post()

        async with asyncio.TaskGroup() as posters:
            for _ in range(POSTERS):
                posters.create_task(post_repeatedly())
            try:
                yield
            finally:
                ended.set()


@contextlib.contextmanager
def stopped(process: psutil.Process) -> Iterator[None]:
    process.suspend()
    try:
        yield
    finally:
        process.resume()


async def status(gateway: ServiceProcess) -> Any:
    with contextlib.suppress(httpx.HTTPError):
        async with plain_client() as client:
            return (await client.get(f"{gateway.url}/internal/status")).json()
    return {"workers": {}, "spool": {}}


async def answering(gateway: ServiceProcess) -> int:
    return int((await status(gateway))["workers"].get("answering", 0))


async def depth(gateway: ServiceProcess) -> int:
    return int((await status(gateway))["spool"].get("depth", -1))


async def metric(gateway: ServiceProcess, name: str, **labels: str) -> float:
    async with plain_client() as client:
        page = (await client.get(f"{gateway.url}/metrics")).text
    samples = [each for family in text_string_to_metric_families(page) for each in family.samples]
    (value,) = [each.value for each in samples if each.name == name and labels.items() <= each.labels.items()]
    return float(value)


async def intake_reason(gateway: ServiceProcess) -> str:
    async with plain_client() as client:
        response = await client.get(f"{gateway.url}/readyz")
    return str(response.json()["parts"]["intake"]["reason"]) if response.status_code == 503 else "ready"


async def received(gateway: ServiceProcess) -> float:
    return await metric(gateway, "fastcore_leads_accepted_total", outcome="received")


async def both_answer(gateway: ServiceProcess) -> None:
    await eventually(lambda: answering(gateway), until=lambda n: n == 2, seconds=60, what="two workers")


async def test_leads_survive_killed_and_restarted_workers(broker: Broker, tmp_path: Path) -> None:
    await asyncio.to_thread(broker.start)
    kafka = Kafka(bootstrap_servers=broker.bootstrap_servers)
    await provision(kafka)
    with processes(tmp_path, environment(broker), "ingest") as started:
        gateway, rng = started["ingest"], random.Random(19)
        website = Website(gateway)
        await gateway.ready(60)
        await both_answer(gateway)
        async with website.load():
            victim = rng.choice(gateway.workers())
            victim.kill()
            await eventually(lambda: answering(gateway), until=lambda n: n == 1, what="a worker less")
            assert await metric(gateway, "fastcore_workers_missing") == 1
            await both_answer(gateway)
            assert victim.pid not in {each.pid for each in gateway.workers()}
            for worker in gateway.workers():  # in turn, so that one is there at any time
                worker.terminate()
                await asyncio.to_thread(worker.wait, 60)
                await both_answer(gateway)
        assert website.refused == []
        # A lead of the killed worker may be counted without its response, or the other way round.
        assert abs(await received(gateway) - len(website.accepted)) <= POSTERS
        orphans = gateway.workers()
        async with website.load():
            assert gateway.process is not None
            gateway.process.kill()  # the supervisor alone
            gateway.process.wait()
            gateway.start()
            await gateway.ready(60)
            for orphan in orphans:
                await asyncio.to_thread(orphan.wait, 60)
            await both_answer(gateway)
        assert website.refused == []
        before, posted = await received(gateway), len(website.accepted)
        await asyncio.gather(*(website.post() for _ in range(40)))
        assert await received(gateway) == before + len(website.accepted) - posted == before + 40
        await eventually(lambda: depth(gateway), until=lambda n: n == 0, seconds=60, what="an empty spool")
        await gateway.stop()
        found = {record.key.decode() for record in await records_of(kafka, topics.RECEIVED.name)}
        assert found == set(website.accepted)
        assert len(website.accepted) == len(found)


async def test_spools_of_all_workers_are_one_spool(broker: Broker, tmp_path: Path) -> None:
    settings = environment(broker, FASTCORE_INGEST_SPOOL_MAX_LEADS="60")
    with processes(tmp_path, settings, "ingest") as started:
        gateway = started["ingest"]
        website = Website(gateway)
        await gateway.ready(60)
        await both_answer(gateway)
        await asyncio.gather(*(website.post() for _ in range(40)))
        folders = {path.parent for path in tmp_path.glob("spool/*/*.spool")}  # noqa: ASYNC240 - a few files
        assert len(folders) == 2
        assert await depth(gateway) == 40
        gateway.workers()[0].kill()
        await both_answer(gateway)
        assert await depth(gateway) == 40
        assert await received(gateway) == 40
        await asyncio.gather(*(website.post() for _ in range(30)))
        assert len(website.accepted) == 60
        assert website.refused == [503] * 10
        assert await metric(gateway, "fastcore_spool_full_ratio") == 1
        await eventually(lambda: intake_reason(gateway), until=lambda reason: "spool is full" in reason)
        kafka = Kafka(bootstrap_servers=broker.bootstrap_servers)
        await asyncio.to_thread(broker.start)
        await provision(kafka)
        await eventually(lambda: depth(gateway), until=lambda n: n == 0, seconds=60, what="an empty spool")
        await gateway.stop()
        found = {record.key.decode() for record in await records_of(kafka, topics.RECEIVED.name)}
        assert found == set(website.accepted)


async def test_limits_and_keys_are_those_of_the_gateway(broker: Broker, tmp_path: Path) -> None:
    with processes(tmp_path, environment(broker), "ingest") as started:
        gateway = started["ingest"]
        await gateway.ready(60)
        await both_answer(gateway)
        workers = gateway.workers()
        keys = iter(range(100))

        async def post(count: int) -> list[int]:
            body = {"name": "Ada", "email": "ada@example.com", "service": "Web", "message": "Hello"}
            headers = {"Authorization": f"Bearer {TOKEN}"}
            statuses = []
            async with plain_client(base_url=gateway.url, timeout=20) as client:
                for _ in range(count):
                    key = {"Idempotency-Key": f"key-{next(keys)}"}
                    response = await client.post("/inbound/leads", json=body, headers=headers | key)
                    statuses.append(response.status_code)
                # The first key again: replayed, and refused with another text.
                again = headers | {"Idempotency-Key": "key-0"}
                response = await client.post("/inbound/leads", json=body, headers=again)
                assert response.headers["Idempotent-Replayed"] == "true"
                other = body | {"message": "Goodbye"}
                response = await client.post("/inbound/leads", json=other, headers=again)
                statuses.append(response.status_code)
            return statuses

        with stopped(workers[1]):
            assert await post(7) == [201] * 7 + [422]
        await both_answer(gateway)
        await asyncio.sleep(0.5)  # a full queue is tried again every 10 ms: now the other worker has it all
        with stopped(workers[0]):
            assert await post(7) == [201] * 7 + [422]
        await both_answer(gateway)
        assert await received(gateway) == 10
        assert await metric(gateway, "fastcore_leads_accepted_total", outcome="held") == 4
        assert await metric(gateway, "fastcore_leads_accepted_total", outcome="replayed") == 2
