"""`python -m tests.faults.three_brokers`: three real brokers under load; one is killed, then a second.

With one gone Kafka goes on after some seconds, for which the gateway's spool stands in; with two gone
`acks=all` fails, and the spool takes all. Every post gets its 201, and the database has each lead once.
"""

import asyncio
import json
import tempfile
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, Any

import asyncpg
import httpx
import typer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from contracts import topics
from deploy.embedded.parts import running_postgres
from deploy.migrate import migrate
from deploy.topics import provision
from runtime.settings import Kafka
from tests.faults.outage import TOKEN, Meter
from tests.support.brokers import running_brokers
from tests.support.processes import ServiceProcess, processes
from tests.support.wait import eventually


async def layout(bootstrap: str) -> dict[str, dict[str, Any]]:
    """Replicas of each partition, and the smallest in-sync set that may take a record, by topic."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        names = [topic.name for topic in topics.ALL]
        found: dict[str, dict[str, Any]] = {
            topic["topic"]: {
                "replicas": {len(part["replicas"]) for part in topic["partitions"]},
                "in_sync": min(len(part["isr"]) for part in topic["partitions"]),
            }
            for topic in await admin.describe_topics([*names, "__consumer_offsets"])
        }
        [answer, *_] = await admin.describe_configs(
            [ConfigResource(ConfigResourceType.TOPIC, name) for name in names]
        )
        for resource in answer.resources:
            found[resource[3]]["min"] = {each[0]: each[1] for each in resource[4]}["min.insync.replicas"]
        return found
    finally:
        await admin.close()


async def spooled(gateway: ServiceProcess) -> int:
    async with httpx.AsyncClient(timeout=5) as client:
        status = (await client.get(f"{gateway.url}/internal/status")).json()
    return int(status["spool"]["depth"])


async def story(folder: Path, rate: float, seconds: float) -> dict[str, Any]:
    """Post at a rate through three phases of so many seconds, and count what became of it."""
    with running_brokers(folder) as brokers, running_postgres(folder) as postgres:
        bootstrap = ",".join(broker.bootstrap_servers for broker in brokers)
        await migrate(postgres.urls.owner, postgres.urls.service)
        await provision(Kafka(bootstrap_servers=bootstrap), len(brokers))
        environment = {
            "DEBUG": "true",
            "KAFKA_BOOTSTRAP_SERVERS": bootstrap,
            "DATABASE_URL": postgres.urls.service,
            "FASTCORE_SITE_INGEST_TOKEN": TOKEN,
        }
        with processes(folder, environment, "ingest", "persister") as services:
            for service in services.values():
                await service.ready(60)
            made = await layout(bootstrap)
            meter, deepest, phases = Meter(services["ingest"]), Counter[str](), list[dict[str, Any]]()

            async def phase(name: str) -> None:
                before = len(meter.answers)
                posting = asyncio.create_task(meter.post_for(seconds, rate))
                while not (await asyncio.wait({posting}, timeout=0.5))[0]:
                    deepest[name] = max(deepest[name], await spooled(services["ingest"]))
                posting.result()
                answers = meter.answers[before:]
                took = sorted(took for _, took, _ in answers)
                phases.append(
                    {
                        "phase": name,
                        "posts": len(answers),
                        "statuses": dict(Counter(status for _, _, status in answers)),
                        "p50_ms": round(1000 * took[len(took) // 2]),
                        "max_ms": round(1000 * took[-1]),
                        "spool_at_most": deepest[name],
                    }
                )

            await phase("three brokers")
            await _while(phase("one killed"), brokers[0].kill)
            # Two of three take what the third's death had sent to the spool, and all that is new.
            await eventually(
                lambda: _empty(services["ingest"]), seconds=60, what="an empty spool on two brokers"
            )
            await _while(phase("two killed"), brokers[1].kill)
            for broker in brokers[:2]:
                await asyncio.to_thread(broker.start)
            owner = await asyncpg.connect(postgres.urls.owner)

            async def stored() -> int:
                return int(await owner.fetchval("SELECT count(*) FROM lead_inbox"))

            await eventually(
                stored, until=lambda n: n >= len(meter.ids), seconds=90, every=0.5, what="every lead stored"
            )
            await eventually(lambda: _empty(services["ingest"]), seconds=30, what="an empty spool")
            leads = {str(row["id"]) for row in await owner.fetch("SELECT id FROM lead_inbox")}
            entries = await owner.fetchval("SELECT count(*) FROM audit_log WHERE event = 'lead.received'")
            await owner.close()
            return {
                "topics": {name: {k: str(v) for k, v in of.items()} for name, of in made.items()},
                "phases": phases,
                "posted": len(meter.answers),
                "accepted": len(meter.ids),
                "stored": len(leads),
                "lost": len(meter.ids - leads),
                "audit_entries": entries,
                "in_sync_again": (await layout(bootstrap))["leads.received.v1"]["in_sync"],
            }


async def _while(posting: Awaitable[None], fault: Callable[[], None]) -> None:
    """Let the fault happen a second into the posting."""

    async def strike() -> None:
        await asyncio.sleep(1)
        await asyncio.to_thread(fault)

    await asyncio.gather(posting, strike())


async def _empty(gateway: ServiceProcess) -> bool:
    return await spooled(gateway) == 0


def faults(report: dict[str, Any]) -> list[str]:
    """Say which promise was not kept."""
    found = [
        f"{name} has {of}"
        for name, of in report["topics"].items()
        if of["replicas"] != "{3}" or of.get("min", "2") != "2"
    ]
    found += [
        f"{each['phase']}: {each['statuses']}" for each in report["phases"] if set(each["statuses"]) != {201}
    ]
    if not report["phases"][2]["spool_at_most"]:
        found.append("with two brokers killed nothing was spooled: acks=all was not asked for")
    if not report["posted"] == report["accepted"] == report["stored"] == report["audit_entries"]:
        found.append("posts, 201s, leads and audit entries are not as many")
    if report["lost"]:
        found.append(f"{report['lost']} leads are lost")
    return found


def main(
    rate: Annotated[float, typer.Option(help="Posts a second.")] = 50,
    seconds: Annotated[float, typer.Option(help="Length of each of the three phases.")] = 15,
) -> None:
    """Kill one broker of three under load, then another, and count."""
    with tempfile.TemporaryDirectory() as folder:
        report = asyncio.run(story(Path(folder), rate, seconds))
    typer.echo(json.dumps(report, indent=2))
    if found := faults(report):
        raise SystemExit("\n".join(found))
    typer.echo("every promise was kept")


if __name__ == "__main__":
    typer.run(main)
