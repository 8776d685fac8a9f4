"""An idle service wakes up a few times a second. Real processes on the real broker and database."""

import asyncio
from pathlib import Path
from typing import Final

from runtime.settings import Kafka
from tests.bench.idle.usage import read_usage
from tests.support.services.processes import ServiceProcess, processes
from tests.support.stack import Stack

# Without leads the persister was seen at 6 wake-ups a second, and the flusher, which has most loops, at 10.
# They had 35 and 53 when each fetch waited 50 ms and uvicorn looked ten times a second.
WAKEUPS_MAX: Final = 25.0
SETTLE_SECONDS: Final = 4.0
SECONDS: Final = 6.0
TOKEN: Final = "a-token-of-the-website-1234567890"


async def test_idle_services_wake_up_rarely(stack: Stack, kafka: Kafka, tmp_path: Path) -> None:
    database = await stack.new_database()
    environment = {
        "KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
        "KAFKA_TOPIC_PREFIX": kafka.topic_prefix,
        "DATABASE_URL": database.service,
        "FASTCORE_SITE_INGEST_TOKEN": TOKEN,
    }

    def wakeups(services: dict[str, ServiceProcess]) -> dict[str, int]:
        pids = {name: each.process.pid for name, each in services.items() if each.process}
        return {name: read_usage(pid).wakeups for name, pid in pids.items()}

    try:
        with processes(tmp_path, environment, "persister", "flusher") as services:
            await asyncio.gather(*(each.ready(60) for each in services.values()))
            await asyncio.sleep(SETTLE_SECONDS)  # the start's own work, such as the first comparison
            before = wakeups(services)
            await asyncio.sleep(SECONDS)
            after = wakeups(services)
    finally:
        await stack.drop_database(database)
    rates = {name: (after[name] - count) / SECONDS for name, count in before.items()}
    assert rates.keys() == {"persister", "flusher"}
    assert max(rates.values()) < WAKEUPS_MAX, rates
