"""The gateway against the usual ways to build one: leads a second, latency, and with Kafka away."""

import contextlib
from collections.abc import AsyncIterator, Mapping
from typing import Final

from tests.bench.environment import TOKEN, Ground, program
from tests.bench.load import accepted_a_second, answered_in, need_wrk
from tests.bench.measure import Curve, Limit, Result, Run, in_turns

RATE: Final = "gateway, leads a second"
REFERENCES: Final = {
    "modelled": ("FastAPI and the model, no publishing", Limit(at_least=1.0)),
    "bare": ("bare Starlette with the same publish", Limit(at_least=0.7)),
    "inserting": ("two INSERTs per request", Limit(at_least=3.0)),
}
NOWHERE: Final = "127.0.0.1:1"


def _environment(ground: Ground, bootstrap_servers: str | None = None) -> dict[str, str]:
    return {
        "FASTCORE_SITE_INGEST_TOKEN": TOKEN,
        "KAFKA_BOOTSTRAP_SERVERS": bootstrap_servers or ground.stack.bootstrap_servers,
        "FASTCORE_INGEST_SPOOL_FOLDER": str(ground.folder / f"spool-{bootstrap_servers is None}"),
        "FASTCORE_INGEST_SPOOL_MAX_LEADS": "10000000",
        "FASTCORE_INGEST_SPOOL_MAX_BYTES": str(64 << 30),
    }


@contextlib.asynccontextmanager
async def _contenders(ground: Ground) -> AsyncIterator[dict[str, str]]:
    """Run the gateway, the gateway without Kafka, and the references; answer their URLs."""
    kafka, database = await ground.stack.new_topics(), await ground.stack.new_database()
    shared = {"KAFKA_TOPIC_PREFIX": kafka.topic_prefix, "DATABASE_URL": database.service}
    async with contextlib.AsyncExitStack() as running:
        urls: dict[str, str] = {}
        for name, servers in (("ours", None), ("away", NOWHERE)):
            made = await running.enter_async_context(
                program(ground, "ingest", _environment(ground, servers) | shared)
            )
            urls[name] = made.url
        for name in REFERENCES:
            made = await running.enter_async_context(
                program(
                    ground, name, _environment(ground) | shared,
                    "uvicorn", "--factory", f"tests.bench.references.gateways:{name}", "--port", "{port}",
                    "--no-access-log", "--log-level", "warning",
                )
            )  # fmt: skip
            urls[name] = made.url
        yield urls
    await ground.stack.drop_topics(kafka)
    await ground.stack.drop_database(database)


async def compare(ground: Ground) -> list[Result]:
    """Measure it all on one set of running programs."""
    need_wrk()
    async with _contenders(ground) as urls:
        for url in urls.values():
            await accepted_a_second(url, 1)  # warm
        rates = await _rates(ground, urls)
        latencies = await _latencies(ground, urls, rates[0])
        if not ground.quick:
            ground.curves.append(await _curve(ground, urls, min(rates[0].ours)))
        return [*rates, *latencies]


async def _rates(ground: Ground, urls: Mapping[str, str]) -> list[Result]:
    ground.say("gateway: leads a second")
    runs: dict[str, Run] = {
        name: lambda url=url: accepted_a_second(url, ground.seconds / 2)  # type: ignore[misc]
        for name, url in urls.items()
    }
    # Short and often: the machine's own speed changes within seconds, and a round's turns should share it.
    rates = await in_turns(runs, 2 * ground.rounds)
    results = [
        Result(RATE, against, "leads/s", rates["ours"], rates[name], limit)
        for name, (against, limit) in REFERENCES.items()
    ]
    spooling = "gateway with Kafka away, leads a second fsynced"
    return [
        *results,
        Result(
            spooling, "itself with Kafka there", "leads/s", rates["away"], rates["ours"], Limit(at_least=0.5)
        ),
    ]


async def _latencies(ground: Ground, urls: Mapping[str, str], rates: Result) -> list[Result]:
    rate = min(rates.ours) / 2
    ground.say(f"gateway: answers at {rate:.0f} leads a second, half of what it takes")
    p99s: dict[str, list[float]] = {"ours": [], "bare": []}

    async def p50(name: str) -> float:
        answers = await answered_in(urls[name], rate, ground.seconds)
        if answers.refused:
            raise RuntimeError(f"{name} refused {answers.refused} of {answers.sent} leads")
        p99s[name].append(answers.p99)
        return answers.p50

    p50s = await in_turns({"ours": lambda: p50("ours"), "bare": lambda: p50("bare")}, ground.rounds)
    against, limit = REFERENCES["bare"][0], Limit(at_most=1.5)
    return [
        Result(f"gateway, {name} at half its limit", against, "ms", figures["ours"], figures["bare"], limit)
        for name, figures in (("p50", p50s), ("p99", p99s))
    ]


async def _curve(ground: Ground, urls: Mapping[str, str], limit: float) -> Curve:
    ground.say("gateway: how the answers' times follow the load")
    lines: dict[str, list[tuple[float, float]]] = {}
    for share in (0.1, 0.25, 0.5, 0.65, 0.8):
        rate = limit * share
        for name in ("ours", "bare"):
            answers = await answered_in(urls[name], rate, ground.seconds)
            for quantile, took in (("p50", answers.p50), ("p99", answers.p99)):
                lines.setdefault(f"{name} {quantile}", []).append((round(rate), round(took, 2)))
    return Curve("gateway latency against load", "leads a second", "ms", lines)
