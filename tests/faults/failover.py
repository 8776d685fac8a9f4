"""`python -m tests.faults.failover`: a standby that lags is promoted, and what it lacks must come back.

A primary with an asynchronous standby, real services, and a mail server that counts. The standby stops
receiving after some leads. Then the primary is killed and the standby promoted: at rest, when every lead is
stored and mailed, or under load. Afterwards each lead with a 201 is stored once, and each mail came once.
"""

import asyncio
import json
import subprocess
import tempfile
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import asyncpg
import typer

from deploy.cli.migrate import migrate
from deploy.cli.topics import provision
from deploy.embedded.servers import postgres as embedded
from deploy.embedded.servers.standalone import Postgres, Server, free_ports, running_kafka, running_postgres
from runtime.database.postgres import open_pool
from runtime.settings import Kafka
from runtime.settings import Postgres as PostgresSettings
from services.admin.monitoring.queue_counts import count_queue
from tests.faults.injections.proxy import Proxy
from tests.faults.outage import TOKEN, Meter
from tests.faults.violations import Violation
from tests.support.mail.smtp import SmtpServer, smtp_server
from tests.support.services.processes import processes
from tests.support.wait import eventually

SERVICES = ("ingest", "persister", "notifier", "flusher")


class Standby(Server):
    """A copy of the primary that streams from it."""

    def __init__(self, primary: Postgres, command: tuple[str, ...], port: int) -> None:
        self.port = port
        self.service = primary.urls.service.replace(f":{primary.port}/", f":{port}/")
        self.superuser = primary.urls.superuser.replace(f":{primary.port}/", f":{port}/")
        super().__init__(
            replace(primary.launch, name="standby", command=command),
            primary.log.parent,
            lambda alive: embedded.wait_ready(self.service, alive=alive),
        )


async def make_standby(primary: Postgres) -> Standby:
    """Copy the primary with pg_basebackup; the standby streams from it when it is started."""
    launch = primary.launch
    assert launch.folder
    with (launch.folder / "data" / "pg_hba.conf").open("a") as rules:
        rules.write("host replication all 127.0.0.1/32 scram-sha-256\n")
    await execute(primary.urls.superuser, "SELECT pg_reload_conf()")
    copy, port = launch.folder / "standby", free_ports(1)[0]
    command, at = list(launch.command), launch.command.index("-D") + 1
    await asyncio.to_thread(
        subprocess.run,
        [
            str(Path(command[0]).with_name("pg_basebackup")),
            *("-d", primary.urls.superuser.removesuffix("fastcore"), "-D", str(copy)),
            *("--write-recovery-conf", "--wal-method=stream", "--checkpoint=fast"),
        ],
        check=True,
        timeout=120,
        cwd=launch.folder,
        user=launch.user,
        extra_groups=[] if launch.user else None,
    )
    command[at], command[command.index("-p") + 1] = str(copy), str(port)
    return Standby(primary, tuple(command), port)


async def execute(url: str, *commands: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        for command in commands:
            await connection.execute(command)
    finally:
        await connection.close()


async def counts(url: str) -> dict[str, int]:
    """Leads, mails by state, and open rows of the queue."""
    connection = await asyncpg.connect(url, timeout=5)
    try:
        found = {"leads": int(await connection.fetchval("SELECT count(*) FROM lead_inbox"))}
        for row in await connection.fetch("SELECT state, count(*) FROM email_delivery GROUP BY state"):
            found[row["state"]] = row["count"]
        return found
    finally:
        await connection.close()


async def story(folder: Path, leads: int, rate: float, *, under_load: bool) -> dict[str, Any]:
    with running_kafka(folder) as kafka, running_postgres(folder) as primary:
        await migrate(primary.urls.owner, primary.urls.service)
        await provision(Kafka(bootstrap_servers=kafka.bootstrap_servers))
        standby = await make_standby(primary)
        proxy = Proxy(primary.port)
        await proxy.start()
        async with smtp_server() as smtp:
            environment = services_environment(
                kafka.bootstrap_servers,
                primary.urls.service.replace(f":{primary.port}/", f":{proxy.port}/"),
                smtp,
            )
            try:
                await asyncio.to_thread(standby.start)
                with processes(folder, environment, *SERVICES) as services:
                    for service in services.values():
                        await service.ready(60)
                    meter = Meter(services["ingest"])
                    posting = asyncio.create_task(meter.post_for(leads / rate, rate))
                    report = await fail_over(
                        primary, standby, proxy, smtp, meter, posting, under_load=under_load
                    )
            finally:
                standby.stop()
                await proxy.stop()
        return report


async def fail_over(
    primary: Postgres,
    standby: Standby,
    proxy: Proxy,
    smtp: SmtpServer,
    meter: Meter,
    posting: asyncio.Task[None],
    *,
    under_load: bool,
) -> dict[str, Any]:
    super_url = standby.superuser
    wanted = round(0.6 * 500)

    async def stored() -> int:
        return (await counts(primary.urls.superuser))["leads"]

    await eventually(stored, until=lambda n: n >= wanted, seconds=120, every=0.02, what="the first leads")
    await execute(super_url, "ALTER SYSTEM SET primary_conninfo = ''", "SELECT pg_reload_conf()")
    if under_load:
        await eventually(stored, until=lambda n: n >= wanted + 100, seconds=60, every=0.02, what="more leads")
    else:
        await posting

        async def mailed() -> int:
            return len(smtp.mails)

        await eventually(stored, until=lambda n: n >= len(meter.ids), seconds=60, what="every lead stored")
        await eventually(mailed, until=lambda n: n >= 2 * len(meter.ids), seconds=120, what="every mail")
        await asyncio.sleep(3)  # the groups have committed all of it
    before = await counts(primary.urls.superuser)
    primary.kill()
    await execute(super_url, "SELECT pg_promote()")
    promoted = await counts(super_url)
    proxy.target_port = standby.port
    proxy.reset()
    began = time.monotonic()
    await posting

    async def quiet() -> bool:
        now = await counts(super_url)
        mails = sum(of for state, of in now.items() if state != "leads")
        in_hand = now.get("reserved", 0) + now.get("sending", 0)
        return now["leads"] == len(meter.ids) and mails == 2 * now["leads"] and in_hand == 0

    seconds: float | None = None
    try:
        await eventually(quiet, seconds=150, every=0.25, what="quiet")
        seconds = round(time.monotonic() - began, 1)
    except AssertionError:
        pass
    await asyncio.sleep(2)
    stood = {"at the primary before": before, "at the promoted standby": promoted}
    return await check_run(super_url, smtp, meter, stood, seconds)


async def check_run(
    url: str, smtp: SmtpServer, meter: Meter, stood: dict[str, Any], seconds: float | None
) -> dict[str, Any]:
    async with open_pool(PostgresSettings.model_validate({"url": url}), "test") as pool:
        books = (await count_queue(pool)).books
    connection = await asyncpg.connect(url)
    stored = {str(row["id"]) for row in await connection.fetch("SELECT id FROM lead_inbox")}
    missing = await connection.fetchval("SELECT coalesce(sum(missing), 0) FROM partition_ledger")
    await connection.close()
    came = Counter(str(mail.message["Message-ID"]).strip("<").partition("@")[0] for mail in smtp.mails)
    names = [f"{lead}.{kind}" for lead in meter.ids for kind in ("welcome", "admin_alert")]
    return {
        "acknowledged": len(meter.ids),
        **stood,
        "after": await counts(url),
        "not stored": len(meter.ids - stored),
        "mails in the sink": sum(came.values()),
        "mails missing": sum(came[name] == 0 for name in names),
        "mails twice": sum(came[name] > 1 for name in names),
        "seconds to quiet": seconds,
        "ledger balanced": books.balanced,
        "counted missing": int(missing),
    }


def services_environment(bootstrap_servers: str, database_url: str, smtp: SmtpServer) -> dict[str, str]:
    """Return the settings of the services in a scenario whose leads are all of one site and hour."""
    return {
        "DEBUG": "true",
        "KAFKA_BOOTSTRAP_SERVERS": bootstrap_servers,
        "DATABASE_URL": database_url,
        "FASTCORE_SITE_INGEST_TOKEN": TOKEN,
        "SMTP_HOST": smtp.host,
        "SMTP_PORT": str(smtp.port),
        "SMTP_TLS": "false",
        "FROM_EMAIL": "hello@fast.example",
        "ADMIN_EMAIL": "boss@fast.example",
        "FASTCORE_NOTIFIER_WELCOMES_PER_SITE_AND_HOUR": "1000000",
        "FASTCORE_NOTIFIER_ALERT_BURST": "0",  # a mail for each lead
    }


def broken_promises(report: dict[str, Any]) -> list[Violation]:
    """Return a violation for each promise that these counts contradict."""
    kinds = {
        "not stored": "lost", "mails missing": "lost mail", "mails twice": "duplicated mail",
        "counted missing": "ledger",
    }  # fmt: skip
    found = [Violation(kind, f"{report[word]} {word}") for word, kind in kinds.items() if report[word]]
    if report["seconds to quiet"] is None:
        found.append(Violation("not idle", f"never: {report['after']}"))
    if not report["ledger balanced"]:
        found.append(Violation("ledger", "does not balance"))
    return found


def conclude(report: dict[str, Any]) -> None:
    """Print the figures, and exit with an error where a promise was broken."""
    typer.echo(json.dumps(report, indent=2))
    if broken_promises(report):
        raise SystemExit("a promise was broken")
    typer.echo("every promise was kept")


def main(
    leads: Annotated[int, typer.Option(help="Leads to post.")] = 500,
    rate: Annotated[float, typer.Option(help="Posts a second.")] = 40,
    under_load: Annotated[bool, typer.Option(help="Fail over while leads come.")] = False,
) -> None:
    """Promote a standby that lags, and count."""
    with tempfile.TemporaryDirectory(prefix="fastcore-failover-") as name:
        Path(name).chmod(0o755)  # PostgreSQL runs as another user
        report = asyncio.run(story(Path(name), leads, rate, under_load=under_load))
    conclude(report)


if __name__ == "__main__":
    typer.run(main)
