"""`python -m tests.faults.switchover`: the primary changes under load, and no service is restarted.

A primary with a standby that is level with it, both in DATABASE_URL, all six services, and a mail server.
The primary and the standby exchange their roles (exchanged), the primary becomes read-only and keeps its
connections (fenced), or it hangs, SIGSTOP of its postmaster and backends (hung). Afterwards each lead with a
201 is stored once and its mails came once; measured is how long each service took.
"""

import asyncio
import json
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import asyncpg
import httpx
import typer

from deploy.cli.migrate import migrate
from deploy.cli.topics import provision
from deploy.embedded.servers.standalone import running_kafka
from runtime.settings import Kafka
from tests.faults.failover import services_environment
from tests.faults.outage import Meter
from tests.support.database.standby import Pair, hanging, running_pair
from tests.support.mail.smtp import SmtpServer, smtp_server
from tests.support.services.processes import ServiceProcess, processes
from tests.support.wait import eventually

SERVICES: Final = ("ingest", "persister", "notifier", "webhooks", "flusher", "admin")
ADMIN_TOKEN: Final = "dev-admin-token-xyz-123"
LEADS: Final = "SELECT count(*) FROM lead_inbox"
SENT: Final = "SELECT count(*) FROM email_delivery WHERE state = 'sent'"
OPEN: Final = "SELECT count(*) FROM replay_queue WHERE state <> 'resolved'"
BOUND_SECONDS: Final = 120.0
How = Literal["exchanged", "fenced", "hung"]


async def story(folder: Path, how: How, leads: int, rate: float) -> dict[str, Any]:
    with running_kafka(folder) as kafka, running_pair(folder) as pair:
        await migrate(pair.primary.urls.owner, pair.primary.urls.service)
        await provision(Kafka(bootstrap_servers=kafka.bootstrap_servers))
        async with smtp_server() as smtp:
            environment = services_environment(
                kafka.bootstrap_servers, pair.url(pair.primary.urls.service), smtp
            ) | {"FASTCORE_ADMIN_TOKEN": ADMIN_TOKEN}
            with processes(folder, environment, *SERVICES) as services:
                for service in services.values():
                    await service.ready(60)
                meter = Meter(services["ingest"])
                posting = asyncio.create_task(meter.post_for(leads / rate, rate))
                with ExitStack() as stack:
                    return await change(pair, how, services, smtp, meter, posting, stack)


async def change(
    pair: Pair,
    how: How,
    services: dict[str, ServiceProcess],
    smtp: SmtpServer,
    meter: Meter,
    posting: asyncio.Task[None],
    stack: ExitStack,
) -> dict[str, Any]:
    async def accepted() -> int:
        return len(meter.ids)

    await eventually(accepted, until=lambda n: n >= 100, seconds=60, what="the first leads")
    smtp.then("rcpt", "451 4.7.1 later")  # one mail that the flusher has to have sent again
    await eventually(accepted, until=lambda n: n >= 150, seconds=60, what="more leads")
    began = time.monotonic()
    if how == "exchanged":
        await pair.exchange_roles()
    elif how == "fenced":
        await pair.fence()
        await pair.in_sync()
        await pair.promote()
    else:
        await pair.in_sync()
        stack.enter_context(hanging(pair.primary))
        await pair.promote()
    promoted = time.monotonic() - began

    promoted, times = time.monotonic(), dict[str, float | str]()
    times["change"] = round(promoted - began, 1)

    async def ready(service: ServiceProcess) -> bool:
        async with httpx.AsyncClient(timeout=3) as client:
            return (await client.get(f"{service.url}/readyz")).status_code == 200

    async def flush() -> bool:
        async with httpx.AsyncClient(
            timeout=30, headers={"Authorization": f"Bearer {ADMIN_TOKEN}"}
        ) as client:
            return (await client.post(f"{services['admin'].url}/admin/queue/flush")).is_success

    async def is_quiet() -> bool:
        stored = await count(pair, LEADS)
        return posting.done() and stored >= len(meter.ids) and len(smtp.mails) >= 2 * stored

    waits: dict[str, Callable[[], Awaitable[bool]]] = {
        f"{name} ready": partial(ready, service) for name, service in services.items() if name != "ingest"
    }
    waits |= {
        "admin writes": flush,
        "persister stores": partial(is_more, pair, LEADS),
        "notifier stores an outcome": partial(is_more, pair, SENT),
        "flusher retries": partial(is_none, pair, OPEN),
        "quiet": is_quiet,
    }
    times |= dict(await asyncio.gather(*(timed(name, wait, promoted) for name, wait in waits.items())))
    return {
        "how": how,
        "posted": len(meter.answers),
        "acknowledged": len(meter.ids),
        "stored": await count(pair, LEADS),
        "mails": len(smtp.mails),
        "mails twice": len(smtp.mails) - len({mail.message["Message-ID"] for mail in smtp.mails}),
        "seconds": times,
    }


async def timed(name: str, probe: Callable[[], Awaitable[bool]], since: float) -> tuple[str, float | str]:
    """Wait until the probe holds, whatever fails meanwhile; return the seconds, or `never`."""

    async def holds() -> bool:
        try:
            return await probe()
        except (httpx.HTTPError, asyncpg.PostgresError, OSError, TimeoutError):
            return False

    try:
        await eventually(holds, seconds=BOUND_SECONDS, every=0.25, what=name)
    except AssertionError:
        return name, "never"
    return name, round(time.monotonic() - since, 1)


async def count(pair: Pair, query: str) -> int:
    """Ask the new primary."""
    connection = await asyncpg.connect(pair.standby.urls.superuser, timeout=5)
    try:
        return int(await connection.fetchval(query))
    finally:
        await connection.close()


_FIRST: dict[str, int] = {}


async def is_more(pair: Pair, query: str) -> bool:
    """Return True once a count has grown since the promotion."""
    now = await count(pair, query)
    return now > _FIRST.setdefault(query, now)


async def is_none(pair: Pair, query: str) -> bool:
    return not await count(pair, query)


def main(
    how: Annotated[str, typer.Option(help="exchanged, fenced or hung.")] = "exchanged",
    leads: Annotated[int, typer.Option(help="Leads to post.")] = 500,
    rate: Annotated[float, typer.Option(help="Posts a second.")] = 25,
) -> None:
    """Change the primary under load, and count."""
    if how not in ("exchanged", "fenced", "hung"):
        raise typer.BadParameter("choose one of: exchanged, fenced, hung")
    with tempfile.TemporaryDirectory(prefix="fastcore-switchover-") as name:
        Path(name).chmod(0o755)  # PostgreSQL runs as another user
        report = asyncio.run(story(Path(name), how, leads, rate))  # type: ignore[arg-type]
    typer.echo(json.dumps(report, indent=2))
    if report["stored"] != report["acknowledged"] or "never" in report["seconds"].values():
        raise SystemExit("a promise was broken")
    typer.echo("every promise was kept")


if __name__ == "__main__":
    typer.run(main)
