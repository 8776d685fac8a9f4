"""A good destination beside a dead and a slow one, and the mails beside them, at 100 leads a second.

The services `webhooks` and `notifier`, the destinations, the mail server and the load are a process each. A
latency begins when the load publishes the lead. It ends when the good destination gets the event, or when the
mail server has taken the mail.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

import aiohttp
import asyncpg
from aiokafka import AIOKafkaProducer

from contracts import topics
from deploy.embedded.servers.standalone import free_ports
from runtime.settings import Kafka
from tests.bench import notifier
from tests.bench.environment import BenchEnvironment, input_process, program, started_together
from tests.bench.measure import Limit, Result, in_turns, percentile
from tests.support.factories import lead, producer
from tests.support.services.webhooks import VARIABLE, destination, write_sites
from tests.support.stack import Database
from tests.support.wait import eventually
from tests.support.web.webhook_receiver import SECRET

RATE: Final = 100
LIMIT_MS: Final = 500.0
SLOW_SECONDS: Final = 2.0
WARM_SECONDS: Final = 2
SECONDS: Final = 5
DONE_SECONDS: Final = 60.0
MAILS_PER_LEAD: Final = 2
SENT: Final = "SELECT lead_id, sent_at FROM email_delivery WHERE state = 'sent' AND lead_id = ANY($1)"


@dataclass(frozen=True)
class Run:
    """The latencies of one run in ms: of the good destination's events, and of the mails."""

    events: list[float]
    mails: list[float]


@contextlib.asynccontextmanager
async def _destinations() -> AsyncIterator[str]:
    """Run the good and the slow destination in a process of their own, and return their URL."""
    port = free_ports(1)[0]
    url = f"http://127.0.0.1:{port}"
    with input_process("destinations", str(port), str(SLOW_SECONDS)):
        await eventually(lambda: _is_up(f"{url}/clear"), until=bool, seconds=20)
        yield url


async def _is_up(url: str) -> bool:
    with contextlib.suppress(aiohttp.ClientError):
        async with aiohttp.ClientSession() as session, session.get(url):
            return True
    return False


async def _latencies(url: str) -> list[float]:
    async with aiohttp.ClientSession() as session, session.get(f"{url}/arrived") as response:
        return [float(each) for each in await response.json()]


async def _publish(sender: AIOKafkaProducer, kafka: Kafka, seconds: float) -> dict[UUID, float]:
    """Publish leads at the rate; return when each was published, as Unix time in seconds."""
    published = dict[UUID, float]()
    began = time.monotonic()
    for number in range(round(RATE * seconds)):
        await asyncio.sleep(max(0, began + number / RATE - time.monotonic()))
        now = datetime.now(UTC)
        each = lead(occurred_at=now)
        published[each.lead_id] = now.timestamp()
        await sender.send(
            kafka.topic_prefix + topics.RECEIVED.name,
            key=str(each.lead_id).encode(),
            value=each.model_dump_json().encode(),
        )
    await sender.flush()
    return published


async def _mails(database: Database, published: Mapping[UUID, float]) -> list[float]:
    """Return the latency of each mail for these leads, when all of them are sent."""
    connection = await asyncpg.connect(database.owner)
    try:
        rows = await eventually(
            lambda: connection.fetch(SENT, list(published)),
            until=lambda found: len(found) >= MAILS_PER_LEAD * len(published),
            seconds=DONE_SECONDS,
            what="all mails sent",
        )
    finally:
        await connection.close()
    return [1000 * (row["sent_at"].timestamp() - published[row["lead_id"]]) for row in rows]


async def _run(bench: BenchEnvironment, url: str, smtp_port: int, seconds: float, *broken: str) -> Run:
    """Start both services with the good destination and those that are `broken`, and load them."""
    await _is_up(f"{url}/clear")
    kafka, database = await bench.stack.new_topics(), await bench.stack.new_database()
    urls = {"good": f"{url}/good", "slow": f"{url}/slow", "dead": "http://127.0.0.1:9/"}
    sites = write_sites(bench.folder, *(destination(name, urls[name]) for name in ("good", *broken)))
    environment = notifier.environment(bench, smtp_port) | {
        "KAFKA_TOPIC_PREFIX": kafka.topic_prefix,
        "DATABASE_URL": database.service,
        "FASTCORE_SITES_FILE": str(sites),
        VARIABLE: SECRET,
    }
    services = (program(bench, name, environment) for name in ("webhooks", "notifier"))
    async with started_together(*services) as started, producer(kafka) as sender:
        warm = await _publish(sender, kafka, WARM_SECONDS)
        await eventually(
            lambda: _latencies(url), until=lambda found: len(found) >= len(warm), seconds=DONE_SECONDS
        )
        await _mails(database, warm)
        await _is_up(f"{url}/clear")
        published = await _publish(sender, kafka, seconds)
        events = await eventually(
            lambda: _latencies(url), until=lambda found: len(found) >= len(published), seconds=DONE_SECONDS
        )
        mails = await _mails(database, published)
        for process in started:
            process.kill()  # a stop waits for the slow destination
    await bench.stack.drop_topics(kafka)
    await bench.stack.drop_database(database)
    return Run(events, mails)


async def compare(bench: BenchEnvironment) -> list[Result]:
    """Measure with the broken destinations and without them, in turns."""
    bench.say(f"isolation: {RATE} leads a second to a good, a slow and a dead destination")
    runs: dict[str, list[Run]] = {"beside": [], "alone": []}
    async with _destinations() as url, notifier.running_sink() as smtp_port:

        async def one(name: str) -> float:
            if name == "beside":
                runs[name].append(await _run(bench, url, smtp_port, SECONDS, "slow", "dead"))
            else:
                runs[name].append(await _run(bench, url, smtp_port, SECONDS))
            return percentile(runs[name][-1].events, 0.99)

        events = await in_turns({"beside": lambda: one("beside"), "alone": lambda: one("alone")}, bench.turns)
    mails = {name: [percentile(run.mails, 0.99) for run in done] for name, done in runs.items()}
    title = f"a destination beside a dead and a slow one at {RATE} leads/s, p99"
    limit = [LIMIT_MS] * len(events["beside"])
    return [
        Result(
            title, f"the limit of {LIMIT_MS:.0f} ms", "ms", events["beside"], limit, Limit(at_most=1.0)
        ),
        Result(title, "itself without those", "ms", events["beside"], events["alone"], Limit()),
        Result(
            f"mails beside a dead and a slow destination at {RATE} leads/s, p99",
            "without those", "ms", mails["beside"], mails["alone"], Limit(at_most=2.0),
        ),
    ]  # fmt: skip
