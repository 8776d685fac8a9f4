"""`python -m tests.faults.lost_log_tail`: a single broker loses power, and with it the tails of its logs.

The consumers had read those records. New leads reuse their offsets while the consumers are stopped with
SIGSTOP, as on a machine that restarts slowly. Each lead with a 201 must be stored once, and each mail must
arrive once.
"""

import asyncio
import os
import signal
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from contracts import topics
from deploy.cli.migrate import migrate
from deploy.cli.topics import provision
from deploy.embedded.servers.standalone import Kafka as Broker
from deploy.embedded.servers.standalone import running_kafka, running_postgres
from runtime.settings import Kafka
from tests.faults.failover import SERVICES, check_run, conclude, counts, services_environment
from tests.faults.outage import Meter
from tests.support.mail.smtp import SmtpServer, smtp_server
from tests.support.services.processes import ServiceProcess, processes
from tests.support.wait import eventually

CONSUMERS = SERVICES[1:]


def cut_tails(broker: Broker, share: float) -> int:
    """Truncate each log of received leads, as a power loss does; return the number of lost bytes."""
    lost = 0
    for path in sorted(broker.log.parent.glob(f"kafka/data/{topics.RECEIVED.name}-*/*.log")):
        size = path.stat().st_size
        os.truncate(path, int(size * (1 - share)))
        lost += size - path.stat().st_size
    return lost


async def run(
    folder: Path, before: int, after: int, share: float, log: Callable[[str], None] = lambda _event: None
) -> dict[str, Any]:
    """Cut off this share of each log; return the counts. `log` gets each event."""
    with running_kafka(folder) as broker, running_postgres(folder) as postgres:
        await migrate(postgres.urls.owner, postgres.urls.service)
        await provision(Kafka(bootstrap_servers=broker.bootstrap_servers))
        async with smtp_server() as smtp:
            environment = services_environment(broker.bootstrap_servers, postgres.urls.service, smtp)
            with processes(folder, environment, *SERVICES) as services:
                for service in services.values():
                    await service.ready(60)
                return await lose_log_tail(
                    broker, postgres.urls.superuser, services, smtp, before, after, share, log
                )


async def lose_log_tail(
    broker: Broker,
    url: str,
    services: dict[str, ServiceProcess],
    smtp: SmtpServer,
    before: int,
    after: int,
    share: float,
    log: Callable[[str], None],
) -> dict[str, Any]:
    meter = Meter(services["ingest"])

    async def quiet() -> bool:
        now = await counts(url)
        return now["leads"] == len(meter.ids) and now.get("sent", 0) == 2 * now["leads"]

    await meter.post_for(before / 40, 40)
    await eventually(quiet, seconds=60, what="every lead stored and mailed")
    await asyncio.sleep(3)  # until the groups have committed all offsets
    signal_consumers(services, signal.SIGSTOP)
    broker.kill()
    lost = cut_tails(broker, share)
    log(f"the broker lost {lost} bytes of its logs")
    await asyncio.to_thread(broker.start)
    await meter.post_for(after / 40, 40)
    await asyncio.sleep(5)  # until the spool is published
    signal_consumers(services, signal.SIGCONT)
    log("the consumers run again")
    began, seconds = time.monotonic(), None
    try:
        await eventually(quiet, seconds=150, every=0.25, what="quiet")
        seconds = round(time.monotonic() - began, 1)
    except AssertionError:
        pass
    await asyncio.sleep(2)
    return await check_run(url, smtp, meter, {"before": before, "bytes lost": lost}, seconds)


def signal_consumers(services: dict[str, ServiceProcess], number: signal.Signals) -> None:
    for name in CONSUMERS:
        process = services[name].process
        assert process
        process.send_signal(number)


def main(
    before: Annotated[int, typer.Option(help="Leads before the power is cut.")] = 120,
    after: Annotated[int, typer.Option(help="Leads after it.")] = 180,
    share: Annotated[float, typer.Option(help="Share of each log that is lost.")] = 0.5,
) -> None:
    """Simulate a power loss of a single broker, and count leads and mails."""
    with tempfile.TemporaryDirectory(prefix="fastcore-tail-") as name:
        Path(name).chmod(0o755)  # PostgreSQL runs as another user
        report = asyncio.run(run(Path(name), before, after, share))
    conclude(report)


if __name__ == "__main__":
    typer.run(main)
