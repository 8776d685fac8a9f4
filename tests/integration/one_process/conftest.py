"""One process with all services, and a mailbox."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from deploy.embedded.servers.standalone import Mailbox
from runtime.settings import Kafka
from tests.support.services.installation import ADMIN_TOKEN, INGEST_TOKEN
from tests.support.services.one_process import OneProcess
from tests.support.stack import Database


@pytest.fixture
def mailbox(tmp_path: Path) -> Iterator[Mailbox]:
    running = Mailbox(tmp_path)
    running.start()
    yield running
    running.stop()


@pytest.fixture
async def services(
    kafka: Kafka, database: Database, mailbox: Mailbox, tmp_path: Path
) -> AsyncIterator[OneProcess]:
    """The process, ready. It is killed at the end, unless the test has stopped it."""
    process = OneProcess(
        {
            "DEBUG": "true",
            "DATABASE_URL": database.service,
            "KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
            "KAFKA_TOPIC_PREFIX": kafka.topic_prefix,
            "FASTCORE_SITE_INGEST_TOKEN": INGEST_TOKEN,
            "FASTCORE_ADMIN_TOKEN": ADMIN_TOKEN,
            "SMTP_HOST": "127.0.0.1",
            "SMTP_PORT": str(mailbox.smtp_port),
            "SMTP_TLS": "false",
            "FROM_EMAIL": "leads@fastcore.example",
            "ADMIN_EMAIL": "admin@fastcore.example",
            "FASTCORE_NOTIFIER_ALERT_BURST": "0",  # an alert for each lead
            "FASTCORE_NOTIFIER_WELCOMES_PER_SITE_AND_HOUR": "1000000",
            # An email of a process that was killed is tried again after its lease.
            "FASTCORE_NOTIFIER_ENVELOPE_TIMEOUT_SECONDS": "4",
            "FASTCORE_NOTIFIER_ANSWER_TIMEOUT_SECONDS": "4",
            "FASTCORE_NOTIFIER_MAIL_TIMEOUT_SECONDS": "8",
            "FASTCORE_NOTIFIER_LEASE_SECONDS": "10",
        },
        tmp_path,
    )
    try:
        process.start()
        await process.ready()
        yield process
    finally:
        if process.process and process.process.poll() is None:
            process.kill()
