"""`python -m tests.alerts`: make each alert rule fire once, by a real fault under a real Prometheus.

Times are fast-forwarded (`for` 2 s, ranges 40 s, ages and delays 5 s), so that an hour's alerts take minutes;
the expressions are those of deploy/prometheus/alerts.yml, whose real times promtool tests.
"""

import asyncio
import contextlib
import json
import logging
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import typer
import yaml

from contracts import topics
from deploy.generate.alerts import find_program
from runtime.settings import Kafka
from tests.faults.environment import SERVICES, SITE_TOKEN, Environment
from tests.faults.injections.proxy import own_port
from tests.faults.servers import start_part
from tests.support.factories import lead, post, producer

ROOT = Path(__file__).parents[1]
WAIT_SECONDS = 120


def fast_forwarded() -> str:
    """Return the alert rules with short times."""
    text = (ROOT / "deploy/prometheus/alerts.yml").read_text(encoding="utf-8")
    text = re.sub(r"for: \d+m", "for: 2s", text)
    text = re.sub(r"\[\d+[mh]\]", "[40s]", text)
    return re.sub(r"> (300|10800|120)\b", "> 5", text)


class Prometheus:
    """Runs Prometheus, and returns which alerts fire."""

    def __init__(self, folder: Path, targets: dict[str, str]) -> None:
        self.url = f"http://127.0.0.1:{own_port()}"
        self._folder = folder
        (folder / "alerts.yml").write_text(fast_forwarded())
        jobs = [
            {"job_name": f"fastcore-{name}", "file_sd_configs": [{"files": [f"{name}.json"]}]}
            for name in targets
        ]
        config = {
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s", "scrape_timeout": "1s"},
            "rule_files": ["alerts.yml"],
            "scrape_configs": jobs,
        }
        (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
        for name, target in targets.items():
            self.discover(name, target)

    def discover(self, name: str, *targets: str) -> None:
        """Set the targets of a job; none means that no process was discovered."""
        (self._folder / f"{name}.json").write_text(json.dumps([{"targets": targets}]))

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        with (self._folder / "prometheus.log").open("wb") as log:
            process = subprocess.Popen(  # noqa: ASYNC220 - started here, waited for below
                [
                    find_program("prometheus"), "--config.file=prometheus.yml", "--storage.tsdb.path=data",
                    f"--web.listen-address={self.url.removeprefix('http://')}",
                ],
                cwd=self._folder, stdout=log, stderr=log,
            )  # fmt: skip
        try:
            yield
        finally:
            process.terminate()
            await asyncio.to_thread(process.wait, 20)

    async def firing(self) -> set[str]:
        """Return the name, the severity and the other labels of each firing alert."""
        with contextlib.suppress(httpx.HTTPError):
            response = (await asyncio.to_thread(httpx.get, f"{self.url}/api/v1/alerts", timeout=5)).json()
            return {
                _words(each["labels"]) for each in response["data"]["alerts"] if each["state"] == "firing"
            }
        return set()


def _words(labels: dict[str, str]) -> str:
    names = ("alertname", "severity", "fault", "whose", "job", "group", "stage", "part", "hop")
    return " ".join(labels[name] for name in names if name in labels)


async def website(environment: Environment, count: int, token: str = SITE_TOKEN) -> None:
    """Post leads one after the other, and ignore connection errors."""
    async with httpx.AsyncClient(base_url=environment.services["ingest"].url, timeout=10) as client:
        for _ in range(count):
            body = {"name": "A", "email": f"{uuid4().hex[:8]}@example.com", "service": "S", "message": "M"}
            with contextlib.suppress(httpx.HTTPError):
                await client.post("/inbound/leads", json=body, headers={"Authorization": f"Bearer {token}"})


async def refuse_mails(environment: Environment) -> None:
    environment.smtp.always["rcpt"] = "550 5.1.1 no such user"
    for _ in range(4):
        await website(environment, 8)
        await asyncio.sleep(3)


async def wrong_token(environment: Environment) -> None:
    for _ in range(10):
        await website(environment, 10, token="wrong")
        await asyncio.sleep(1)


async def kafka_killed(environment: Environment) -> None:
    await asyncio.to_thread(environment.kafka.kill)
    for _ in range(10):
        await website(environment, 10)
        await asyncio.sleep(1)


async def persister_dead(environment: Environment) -> None:
    environment.services["persister"].kill()
    for _ in range(8):
        leads = [lead(spam_reasons=("honeypot",)) for _ in range(600)]
        await post(Kafka(bootstrap_servers=environment.kafka.bootstrap_servers), *leads)
        await asyncio.sleep(5)


async def flusher_dead(environment: Environment) -> None:
    environment.services["flusher"].kill()


async def poison(environment: Environment) -> None:
    async with producer(Kafka(bootstrap_servers=environment.kafka.bootstrap_servers)) as sender:
        for _ in range(3):
            for _ in range(80):
                await sender.send(topics.RECEIVED.name, b"no lead")
            await sender.flush()
            await asyncio.sleep(2)


async def mail_server_unavailable(environment: Environment) -> None:
    await environment.smtp_proxy.stop()
    await website(environment, 3)


async def greylisted(environment: Environment) -> None:
    environment.smtp.always["rcpt"] = "450 4.2.0 come back later"
    await website(environment, 3)


async def queue_unavailable(environment: Environment) -> None:
    flusher = environment.services["flusher"]
    flusher.environment |= {
        "FASTCORE_SITE_QUEUE_URL": f"http://127.0.0.1:{own_port()}/queue",
        "FASTCORE_SITE_QUEUE_TOKEN": "a-token-of-the-queue",
        "FASTCORE_FLUSHER_GATEWAY_URL": environment.services["ingest"].url,
    }
    await flusher.stop()
    flusher.start()


async def lead_deleted(environment: Environment) -> None:
    await environment.sql("DELETE FROM lead_inbox WHERE id IN (SELECT id FROM lead_inbox LIMIT 1)")


async def rolled_back(environment: Environment) -> None:
    await environment.sql(
        "UPDATE partition_ledger SET base_offset = 0, next_offset = 0, stored = 0, duplicate = 0, parked = 0,"
        " undecodable = 0, missing = 0, last_record = NULL WHERE stage = 'persister'"
    )


async def spool_damaged(environment: Environment) -> None:
    left = environment.folder / "spool" / "00000000000000000001-7"  # like the folder of a dead worker
    left.mkdir(parents=True)
    (left / "lock").touch()
    (left / "00000000000000000002.spool").write_bytes(b"\n00000000 {")


async def broken_form(environment: Environment) -> None:
    leads = [lead(site="studio", spam_reasons=("honeypot",)) for _ in range(30)]
    await post(Kafka(bootstrap_servers=environment.kafka.bootstrap_servers), *leads)


async def sites_file_invalid(environment: Environment) -> None:
    (environment.folder / "sites.toml").write_text("[sites.www]\nlocale = 1")


async def canary_refused(environment: Environment) -> None:
    environment.smtp.always["rcpt"] = "550 5.7.1 no"
    for _ in range(2):
        await environment.sql("UPDATE scheduled_job SET requested_at = now() WHERE name = 'canary'")
        await asyncio.sleep(10)


# Each fault with the prefixes of the alerts that must fire: the name, and the labels that identify the rule.
ALERT_CASES: list[tuple[str, Callable[[Environment], Coroutine[Any, Any, None]], set[str]]] = [
    (
        "every recipient gets 550", refuse_mails,
        {"MailFailures warning", "MailFailures critical refused", "DeadLetters"},
    ),
    ("a website with a wrong token", wrong_token, {"GatewayErrorRatio warning theirs"}),
    (
        "Kafka killed, the spool small", kafka_killed,
        {f"SpoolFilling {how}" for how in ("warning", "critical")}
        | {"GatewayErrorRatio critical ours", "ServiceDown warning"},
    ),
    (
        "persister killed under load", persister_dead,
        {"ServiceDown critical silent fastcore-persister", "LagGrowing", "OldestLeadWaiting critical"},
    ),
    (
        "flusher killed", flusher_dead,
        {"JobNotRun warning late", "ServiceDown critical silent fastcore-flusher"},
    ),
    ("the mail server refuses connections", mail_server_unavailable, {"MailFailures critical"}),
    ("240 poisonous records", poison, {"BreakerOpen"}),
    ("a row of lead_inbox deleted by hand", lead_deleted, {"LedgerDrift"}),
    ("the persister's ledger set back", rolled_back, {"LedgerRewound critical"}),
    ("every recipient is greylisted", greylisted, {"OldestLeadWaiting warning notifier"}),
    ("a torn line alone in the spool", spool_damaged, {"SpoolFilling warning"}),
    ("a form that makes spam of every lead", broken_form, {"SpamRising"}),
    ("a mistake in the sites file", sites_file_invalid, {"SitesFileInvalid"}),
    ("a website's queue is away", queue_unavailable, {"JobNotRun warning failed"}),
    ("the mail server refuses two canaries", canary_refused, {"CanaryFailing critical smtp"}),
]  # fmt: skip


async def heal(environment: Environment) -> None:
    environment.smtp.always.clear()
    await environment.smtp_proxy.heal()
    if not environment.kafka.alive:
        await start_part(environment.kafka)
    for service in environment.services.values():
        if service.process and service.process.poll() is not None:
            service.start()


async def run(folder: Path) -> set[str]:
    """Inject one fault after the other; return the alerts that did not fire."""
    environment = await Environment.build(folder)
    environment.services["ingest"].environment["FASTCORE_INGEST_SPOOL_MAX_LEADS"] = "60"
    (folder / "sites.toml").write_text("[sites.www]")
    environment.services["ingest"].environment["FASTCORE_SITES_FILE"] = str(folder / "sites.toml")
    environment.services["flusher"].environment["FASTCORE_FLUSHER_CRON"] = "* * * * *"
    canary = {"FASTCORE_CANARY_SECRET": "a secret of the alerts, 32 bytes long"}
    environment.services["ingest"].environment |= canary
    environment.services["flusher"].environment |= canary | {
        "FASTCORE_CANARY_GATEWAY_URL": environment.services["ingest"].url,
        "FASTCORE_CANARY_CRON": "0 0 29 2 *",  # only the fault sends some
    }
    targets = {name: environment.services[name].url.removeprefix("http://") for name in SERVICES}
    prometheus, missed = Prometheus(folder, targets), set[str]()
    try:
        await environment.start()
        async with prometheus.running():
            await website(environment, 5)
            await asyncio.sleep(20)
            typer.echo(f"before any fault: {sorted(await prometheus.firing()) or 'nothing fires'}")

            async def discover_none(_: Environment) -> None:
                prometheus.discover("persister")

            gone = ("no persister found", discover_none, {"ServiceDown critical absent"})
            for name, fault, expected in (*ALERT_CASES, gone):
                known, began, fired = await prometheus.firing(), time.monotonic(), dict[str, float]()
                breaking, left = asyncio.create_task(fault(environment)), set(expected)
                while time.monotonic() - began < WAIT_SECONDS and (left or not breaking.done()):
                    for each in await prometheus.firing() - known - fired.keys():
                        fired[each] = time.monotonic() - began
                        left -= {words for words in expected if each.startswith(words)}
                    await asyncio.sleep(1)
                await breaking
                typer.echo(f"{name}:")
                for alert, seconds in sorted(fired.items(), key=lambda item: item[1]):
                    typer.echo(f"  {seconds:5.0f} s  {alert}")
                typer.echo("".join(f"  MISSING  {alert}\n" for alert in left), nl=False)
                missed |= left
                await heal(environment)
                await asyncio.sleep(5)
    finally:
        await environment.stop(keep=False)
    return missed


def main() -> None:
    logging.disable(
        logging.CRITICAL
    )  # aiokafka logs each lost connection, which these faults cause on purpose
    with tempfile.TemporaryDirectory(prefix="fastcore-alerts-") as name:
        Path(name).chmod(0o755)  # PostgreSQL runs as another user
        missed = asyncio.run(run(Path(name)))
    sys.exit(f"did not fire: {', '.join(sorted(missed))}" if missed else 0)


if __name__ == "__main__":
    main()
