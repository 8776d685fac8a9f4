"""Each runbook is followed literally while its fault is there: its commands name the cause.

The faults are real, on one stack of `make up`. What takes hours is brought forward in the database.
"""

import asyncio
import contextlib
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from contracts import topics
from deploy.embedded.processes import orphans
from deploy.embedded.processes.supervisor import Supervisor
from runtime.settings import Kafka
from tests.integration.deploy.test_embedded_stack import ADMIN, LEAD, SITE, Installation
from tests.support.factories import lead, post, producer
from tests.support.runbooks import PAGES, ROOT, first_steps
from tests.support.sealed_log import KEY
from tests.support.wait import eventually

pytestmark = pytest.mark.timeout(400)

SITES = """
[sites.default]
name = "Studio Nord"

[[destinations]]
name = "crm"
kind = "webhook"
url = "http://127.0.0.1:9/hook"
secret = "env:CRM_SECRET"
allow_private = true
"""


class Faulty(Installation):
    """An installation whose faults the tests make, and whose commands of runbooks they run."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder / "data")
        self.sites = folder / "sites.toml"
        self.sites.write_text(SITES)
        self.environment |= {
            "FASTCORE_SITES_FILE": str(self.sites),
            "FASTCORE_AUDIT_SIGNING_KEY": KEY.text(),
            "FASTCORE_AUDIT_WITNESSES": "witness@example.com",
            "CRM_SECRET": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            "FASTCORE_WEBHOOKS_RETRY_WAITS_SECONDS": "1",
        }
        self.kafka = Kafka(bootstrap_servers=f"127.0.0.1:{self.ports['kafka']}")
        self._known: dict[str, str] = {}

    def sql(self, statement: str) -> str:
        done = self.run("psql", "--owner", "-v", "ON_ERROR_STOP=1", "-Atc", statement)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    async def post(self, count: int, email: str = LEAD["email"]) -> None:
        async with self.client() as edge:
            for _ in range(count):
                await edge.post("/inbound/leads", json=LEAD | {"email": email}, headers=SITE)

    async def turn(self, method: str, program: str) -> None:
        """Start or stop a program as an operator does with supervisorctl, and wait until it is done."""
        supervisor, name = Supervisor(self.folder), program.rpartition(":")[2]
        supervisor._call(method, program, False)  # a drain takes longer than the client waits
        state = "RUNNING" if method == "startProcess" else "STOPPED"
        await eventually(
            lambda: asyncio.to_thread(supervisor.programs),
            until=lambda programs: programs[name]["statename"] == state,
            seconds=60, every=0.5, what=f"{program} {state}",
        )  # fmt: skip

    @contextlib.contextmanager
    def frozen(self, word: str) -> Iterator[None]:
        """Freeze the processes whose command has this word, and their children."""
        found = [each for each in orphans.find_processes(self.folder) if word in " ".join(each.cmdline())]
        family = [*found, *(child for each in found for child in each.children(recursive=True))]
        assert family, word
        for each in family:
            each.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            for each in family:
                with contextlib.suppress(psutil.NoSuchProcess):
                    each.send_signal(signal.SIGCONT)

    async def follow(self, page: str) -> str:
        """Run the page's commands for `make up` in this order. Return what they print.

        Pages that are followed during the same fault share commands, and each runs once.
        """
        commands = [commands[-1] for commands in first_steps(page)]
        for command in commands:
            if command not in self._known:
                self._known[command] = await asyncio.to_thread(self._run, command)
        return "\n".join(self._known[command] for command in commands)

    def another_fault(self) -> None:
        self._known.clear()

    def _run(self, command: str) -> str:
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=ROOT, env=self.environment, capture_output=True, text=True, timeout=100, check=False,
        )  # fmt: skip
        assert done.returncode in (0, 2), done.stdout + done.stderr  # make says 2 if its command fails
        assert "Traceback" not in done.stdout + done.stderr
        return done.stdout

    async def names(self, page: str, *causes: str) -> None:
        """Follow the page until each cause is in a line of the output."""

        async def read() -> str:
            self.another_fault()
            return await self.follow(page)

        said = await self.follow(page)
        if all(re.search(cause, said) for cause in causes):
            return
        await eventually(
            read,
            until=lambda said: all(re.search(cause, said) for cause in causes),
            seconds=60, every=1.0, what=f"{page}: {causes}",
        )  # fmt: skip


@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Faulty]:
    ours = Faulty(tmp_path_factory.mktemp("runbooks"))
    try:
        ours.up()
        yield ours
    finally:
        ours.run("reset", "--yes")


async def test_a_stack_without_a_fault_has_nothing_to_report(faulty: Faulty) -> None:
    await faulty.post(1)
    await faulty.names("ServiceDown", r"\n\d+ ok, \d warnings, 0 failed\n")


async def make_standing_faults(faulty: Faulty) -> None:
    """Make each fault that does not stop a program."""
    async with faulty.client() as edge:
        for _ in range(3):
            await edge.post("/inbound/leads", json=LEAD, headers={"Authorization": "Bearer wrong"})
    await post(faulty.kafka, *(lead(spam_reasons=("honeypot",)) for _ in range(30)))
    for _ in range(
        6
    ):  # six failures pause the destination; those that were retried before have no retries left
        await faulty.post(1)
        await asyncio.sleep(0.5)
    await eventually(
        lambda: asyncio.to_thread(faulty.sql, "SELECT count(*) FROM lead_inbox"),
        until=lambda rows: int(rows) >= 37, every=1.0, seconds=60, what="all leads in the inbox",
    )  # fmt: skip
    async with producer(faulty.kafka) as sender:
        for count in (120, 5):  # the breaker opens before the records that follow the 100th dead one
            for _ in range(count):
                await sender.send(topics.RECEIVED.name, b"no lead")
            await sender.flush()
            await eventually(
                lambda: asyncio.to_thread(faulty.sql, "SELECT count(*) FROM replay_queue"),
                until=lambda rows: int(rows) >= 120,
                every=1.0, seconds=60, what="the records in the queue",
            )  # fmt: skip
    # The partition that is created last, which is empty.
    newest = faulty.sql("SELECT name FROM audit_partitions() ORDER BY first_id DESC LIMIT 1")
    faulty.sql(f"DROP TABLE {newest}")
    sealed = "SELECT coalesce(max(size), 0) FROM audit_checkpoint"
    faulty.sql("UPDATE scheduled_job SET requested_at = now() WHERE name = 'audit_seal'")
    await eventually(
        lambda: asyncio.to_thread(faulty.sql, sealed), until=lambda size: int(size) > 0,
        every=1.0, seconds=60, what="a sealed entry",
    )  # fmt: skip
    faulty.sql(
        "ALTER TABLE audit_log DISABLE TRIGGER USER;"
        " UPDATE audit_log SET actor = 'mallory' WHERE id = (SELECT min(id) FROM audit_log);"
        " UPDATE scheduled_job SET requested_at = now() WHERE name = 'audit_check';"
        " DELETE FROM lead_inbox WHERE id = (SELECT id FROM lead_inbox LIMIT 1)"
    )
    faulty.sites.write_text("[sites.default]\nlocale = 1\n")


async def test_pages_of_wrong_data_and_wrong_settings_name_the_cause(faulty: Faulty) -> None:
    await make_standing_faults(faulty)
    faulty.another_fault()
    await faulty.names(
        "BreakerOpen",
        r"fail +stages +persister is paused: \d+ of the last \d+ records were dead",
        r"queue +persister store, dead: \d+ x undecodable",
        r'"event": "breaker open"',
    )
    await faulty.names("DeadLetters", r"dead: \d+ x undecodable", r"record sent to the replay queue")
    await faulty.names("GatewayErrorRatio", r"requests .*since its start: unauthorized 3", r"request refused")
    await faulty.names("SpamRising", r"warn +spam +default: \d+ of \d+ leads in 24 hours, mostly honeypot")
    await faulty.names(
        "DestinationFailing", r"destinations +crm is paused for .* destination accepts no connection"
    )
    await faulty.names("DestinationDeliveriesDead", r"destinations +crm has dead deliveries: [1-9]")
    await faulty.names("AuditPartitionsMissing", r"audit-log +1 of the next 2 partitions are missing")
    await faulty.names(
        "AuditLogDiffers",
        r"fail +jobs +audit_check failed: the audit log differs from its seal: .*was changed",
        r"audit log differs from its seal",
    )
    await faulty.names("LedgerDrift", r"fail +ledger +persister .* [+-]1: ", r"does not match the tables")
    await faulty.names(
        "SitesFileInvalid", r"warn +services +ingest .*: sites_file: .*locale", r"sites file not applied"
    )
    faulty.sql("UPDATE incident SET first_seen_at = first_seen_at - interval '3 minutes'")
    await faulty.names("IncidentNotAcknowledged", r"warn +incidents +.*, since .*, not acknowledged")


async def test_pages_of_emails_name_the_mail_server_that_is_stopped(faulty: Faulty) -> None:
    faulty.another_fault()
    faulty.sites.write_text(SITES)
    await faulty.turn("stopProcess", "servers:mailbox")
    await faulty.post(1, email="another@example.com")  # the first address has had all its confirmations
    faulty.sql("UPDATE scheduled_job SET requested_at = now() WHERE name = 'audit_witness'")
    await faulty.names(
        "MailFailures", r"fail +services +notifier .*: smtp: ", r'"part": "smtp", "reason": "smtp '
    )
    await faulty.names(
        "AuditWitnessesMissing", r"fail +jobs +audit_witness failed: .*smtp ", r"audit_witness"
    )
    await faulty.turn("startProcess", "servers:mailbox")


async def test_the_page_of_a_job_names_it_and_the_flusher_that_is_stopped(faulty: Faulty) -> None:
    faulty.another_fault()
    await faulty.turn("stopProcess", "consumers:flusher")
    faulty.sql(
        "UPDATE scheduled_job SET next_run_at = now() - interval '5 minutes' WHERE name = 'replay_queue'"
    )
    await faulty.names(
        "JobNotRun",
        r"fail +jobs +replay_queue is late: its next run was due ",
        r"fail +services +flusher .*: no answer",
    )
    await faulty.turn("startProcess", "consumers:flusher")


async def test_the_page_of_a_database_that_was_rolled_back_names_the_partitions(faulty: Faulty) -> None:
    faulty.another_fault()
    await faulty.turn("stopProcess", "consumers:persister")
    faulty.sql(
        "UPDATE partition_ledger SET base_offset = 0, next_offset = 0, stored = 0, duplicate = 0, parked = 0,"
        " undecodable = 0, missing = 0, canary = 0, last_record = NULL WHERE stage = 'persister'"
    )
    await faulty.turn("startProcess", "consumers:persister")
    await faulty.names("LedgerRewound", r"Ledger behind the group: the database was rolled back")


async def test_pages_of_a_database_that_hangs_name_it(faulty: Faulty) -> None:
    faulty.another_fault()
    async with faulty.client() as edge:
        await edge.post("/admin/stages/persister/resume", headers=ADMIN)
    with faulty.frozen("bin/postgres"):
        await faulty.post(2)
        down = r"fail +database +database does not answer; not read: "
        paused = r"fail +services +persister .*: consumer: paused: database does not answer, since "
        await faulty.names(
            "LagGrowing", down, paused, r"lag +fastcore.persister: [1-9]", r'"event": "paused"'
        )
        await faulty.names(
            "OldestLeadWaiting", down, r"lag +fastcore.persister: [1-9]", r'"event": "assigned"'
        )
        await faulty.names("OutboxNotPublished", down, r"events of leads not published")
        await faulty.names("ServiceDown", r"fail +services +flusher .*: database: database does not answer")


async def test_pages_of_kafka_that_hangs_name_it(faulty: Faulty) -> None:
    faulty.another_fault()
    with faulty.frozen("kafka.Kafka"):
        await asyncio.gather(*(faulty.post(1) for _ in range(4)))
        faulty.sql("UPDATE scheduled_job SET requested_at = now() WHERE name = 'canary'")
        await faulty.names(
            "SpoolFilling",
            r"fail +kafka +127.0.0.1:\d+: kafka does not answer",
            r"fail +gateways .*breaker open, [1-9]\d* leads in the spool .*the oldest for .*; Kafka: kafka d",
            r"breaker open, leads go to the spool",
        )
        await faulty.names("CanaryFailing", r"fail +canary +default .*: kafka: ")


def test_each_page_is_followed_by_one_of_these_tests() -> None:
    followed = re.findall(r'faulty\.names\(\s*"(\w+)"', Path(__file__).read_text(encoding="utf-8"))
    assert set(followed) == PAGES.keys()
