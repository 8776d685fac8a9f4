"""`python -m tests.faults.three_brokers`: all services on three real brokers, killed, hung and rolled.

Under load, one phase after the other: all three; one killed; two killed; one hung (SIGSTOP); each of them
restarted, one after the other. Without one broker, Kafka works again after some seconds; until then the
gateway's spool stores the leads. Without two, `acks=all` fails, and the spool stores everything. Every post
gets its 201, the database has each lead once, each mail arrives once at a real SMTP server, and the ledger
balances.
"""

import asyncio
import json
import logging
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Annotated, Any

import typer

from contracts import topics
from deploy.cli.topic_provisioning import OFFSETS_TOPIC, open_admin, read_layout
from deploy.cli.topic_settings import read_settings
from deploy.embedded.servers.standalone import Kafka as Broker
from tests.faults.broker_cluster import Cluster, running
from tests.support.mail.smtp import SmtpServer
from tests.support.wait import eventually


async def story(folder: Path, rate: float, seconds: float, minimum_seconds: float) -> dict[str, Any]:
    """Break the brokers in every way, again and again for so long, and count what became of each post."""
    async with running(folder) as cluster:
        began, quiet = time.monotonic(), list[float]()
        first, second, third = cluster.brokers

        async def nothing() -> None: ...

        async def kill(broker: Broker) -> None:
            await asyncio.to_thread(broker.kill)

        while not quiet or time.monotonic() - began < minimum_seconds:
            await cluster.phase("three brokers", rate, seconds, nothing)
            await cluster.phase("one killed", rate, seconds, lambda: kill(first))
            # Two of three brokers accept what the spool stored when the third one died, and everything new.
            await eventually(
                cluster.spooled, until=lambda n: n == 0, seconds=90, what="an empty spool on two"
            )
            await cluster.phase("two killed", rate, seconds, lambda: kill(second))
            await asyncio.gather(*(asyncio.to_thread(broker.start) for broker in (first, second)))
            await eventually(cluster.is_whole, seconds=90, every=0.5, what="three replicas in sync")
            await cluster.phase("one hung", rate, seconds, lambda: cluster.hang(third, seconds - 1))
            await eventually(cluster.is_whole, seconds=90, every=0.5, what="three replicas in sync")
            await cluster.phase("rolled", rate, seconds, cluster.roll)
            quiet.append(await cluster.wait_until_idle())
        async with open_admin(cluster.kafka, "faults") as admin:
            names = [topic.name for topic in topics.ALL]
            layout, configs = (
                await read_layout(admin, [*names, OFFSETS_TOPIC]),
                await read_settings(admin, names),
            )
        return {
            "replicas": min(len(nodes) for nodes in layout.values()),
            "min_insync": sorted({config.effective["min.insync.replicas"] for config in configs.values()}),
            "phases": cluster.phases,
            "figures": {
                "posted": len(cluster.meter.answers),
                "acknowledged": len(cluster.meter.ids),
                **await _stored(cluster),
                **_mailed(cluster.smtp),
                "seconds to quiet": max(quiet),
                "cycles": len(quiet),
                "running seconds": round(time.monotonic() - began),
            },
            "mail_states": await _mail_states(cluster),
            "ledger": await asyncio.to_thread(cluster.ledger),
        }


async def _stored(cluster: Cluster) -> dict[str, int]:
    stored = {str(row["id"]) for row in await cluster.database.fetch("SELECT id FROM lead_inbox")}
    entries = "SELECT count(*) FROM audit_log WHERE event = 'lead.received'"
    return {
        "stored": len(stored),
        "lost": len(cluster.meter.ids - stored),
        "audit entries": int(await cluster.database.fetchval(entries)),
    }


def _mailed(smtp: SmtpServer) -> dict[str, int]:
    mails = Counter(str(mail.message["Message-ID"]) for mail in smtp.mails)
    return {"mailed": len(mails), "mailed twice": mails.total() - len(mails)}


async def _mail_states(cluster: Cluster) -> dict[str, int]:
    rows = await cluster.database.fetch("SELECT state, count(*) FROM email_delivery GROUP BY state")
    return {row["state"]: row["count"] for row in rows}


def faults(report: dict[str, Any]) -> list[str]:
    """Return a text for each guarantee that was broken."""
    figures, found = report["figures"], []
    if (report["replicas"], report["min_insync"]) != (3, ["2"]):
        found.append(f"topics have {report['replicas']} replicas, min.insync.replicas {report['min_insync']}")
    found += [
        f"{each['phase']}: {each['statuses']}" for each in report["phases"] if set(each["statuses"]) != {201}
    ]
    if not any(each["spool_at_most"] for each in report["phases"] if each["phase"] == "two killed"):
        found.append("with two brokers killed nothing was spooled: the gateway did not require acks=all")
    if len({figures[name] for name in ("posted", "acknowledged", "stored", "audit entries")}) != 1:
        found.append("posts, 201s, leads and audit entries are not as many")
    if figures["lost"]:
        found.append(f"{figures['lost']} leads are lost")
    if set(report["mail_states"]) != {"sent"} or figures["mailed"] != 2 * figures["acknowledged"]:
        found.append(f"not every mail arrived: {figures['mailed']}, {report['mail_states']}")
    if figures["mailed twice"]:
        found.append(f"{figures['mailed twice']} mails arrived twice")
    if report["ledger"]:
        found.append(f"the ledger does not balance:\n{report['ledger']}")
    return found


def table(report: dict[str, Any]) -> str:
    """Write the figures as two tables."""
    columns = ("phase", "posts", "p50_ms", "max_ms", "spool_at_most")
    lines = ["  ".join(f"{name:>14}" for name in columns)]
    lines += ["  ".join(f"{each[name]!s:>14}" for name in columns) for each in report["phases"]]
    lines += ["", *(f"{name:>18}  {value}" for name, value in report["figures"].items())]
    return "\n".join(lines)


def main(
    *,
    rate: Annotated[float, typer.Option(help="Posts a second.")] = 30,
    seconds: Annotated[float, typer.Option(min=3, help="Length of each phase at least.")] = 15,
    minimum_seconds: Annotated[float, typer.Option(help="Repeat all phases until so long has passed.")] = 120,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON, too.")] = False,
) -> None:
    """Kill one broker of three under load, then another, hang one, roll all, and count."""
    logging.disable(logging.CRITICAL)  # aiokafka logs each lost connection: this run causes them
    with tempfile.TemporaryDirectory() as folder:
        report = asyncio.run(story(Path(folder), rate, seconds, minimum_seconds))
    typer.echo(json.dumps(report, indent=2) if as_json else table(report))
    if found := faults(report):
        raise SystemExit("\n".join(found))
    typer.echo("every promise was kept")


if __name__ == "__main__":
    typer.run(main)
