"""Compares the gateway with common alternatives: leads per second, latency, and without Kafka."""

import contextlib
from collections.abc import AsyncIterator, Collection, Mapping
from typing import Final

from tests.bench.environment import TOKEN, BenchEnvironment, program, reference_gateway, started_together
from tests.bench.inputs.load import accepted_a_second, answered_in, need_wrk
from tests.bench.measure import Curve, Limit, Result, Run, in_turns
from tests.bench.placement import CORES
from tests.bench.references import outpost
from tests.support.services.processes import ServiceProcess

REFERENCES: Final = {
    "modelled": ("FastAPI and the model, no publishing", Limit(at_least=1.3)),
    "bare": ("bare Starlette with the same publish", Limit(at_least=0.8)),
    "inserting": ("two INSERTs per request", Limit(at_least=3.0)),
}
# More workers change nothing about the cost of INSERTs.
PER_MACHINE: Final = ("modelled", "bare")
NOWHERE: Final = "127.0.0.1:1"


def _environment(bench: BenchEnvironment, bootstrap_servers: str | None = None) -> dict[str, str]:
    return {
        "FASTCORE_SITE_INGEST_TOKEN": TOKEN,
        "KAFKA_BOOTSTRAP_SERVERS": bootstrap_servers or bench.stack.bootstrap_servers,
        "FASTCORE_INGEST_SPOOL_FOLDER": str(bench.folder / f"spool-{bootstrap_servers is None}"),
        "FASTCORE_INGEST_SPOOL_MAX_LEADS": "10000000",
        "FASTCORE_INGEST_SPOOL_MAX_BYTES": str(64 << 30),
    }


@contextlib.asynccontextmanager
async def _contenders(
    bench: BenchEnvironment, workers: int, references: Collection[str]
) -> AsyncIterator[dict[str, str]]:
    """Run the gateway, the gateway without Kafka, and these references.

    Each has `workers` workers, and has warmed up. Yields their URLs.
    """
    kafka, database = await bench.stack.new_topics(), await bench.stack.new_database()
    shared = {
        "KAFKA_TOPIC_PREFIX": kafka.topic_prefix,
        "DATABASE_URL": database.service,
        "FASTCORE_INGEST_WORKERS": str(workers),
    }
    programs: dict[str, contextlib.AbstractAsyncContextManager[ServiceProcess]] = {
        name: program(bench, "ingest", _environment(bench, servers) | shared)
        for name, servers in (("ours", None), ("away", NOWHERE))
    }
    programs |= {
        name: reference_gateway(bench, name, _environment(bench) | shared, workers) for name in references
    }
    async with started_together(*programs.values()) as started:
        urls = {name: process.url for name, process in zip(programs, started, strict=True)}
        for url in urls.values():
            await accepted_a_second(url, 1)
        yield urls
    await bench.stack.drop_topics(kafka)
    await bench.stack.drop_database(database)


async def compare_per_machine(bench: BenchEnvironment) -> list[Result]:
    """Measure leads a second with a worker for each core, and events a second of Outpost if it is there."""
    need_wrk()
    async with _contenders(bench, len(CORES), PER_MACHINE) as urls, contextlib.AsyncExitStack() as running:
        others = dict[str, Run]()
        if bench.outpost:
            bench.say("gateway: Outpost with Redis and RabbitMQ")
            others["outpost"] = await running.enter_async_context(outpost.publishing(bench, bench.outpost))
        return await _rates(bench, urls, f"{len(CORES)} workers", others)


async def compare_per_core(bench: BenchEnvironment) -> list[Result]:
    """Measure everything with one worker each, and the same running programs."""
    need_wrk()
    async with _contenders(bench, 1, REFERENCES) as urls:
        rates = await _rates(bench, urls, "one worker")
        latencies = await _latencies(bench, urls, rates[0])
        if bench.draws:
            bench.curves.append(await _curve(bench, urls, min(rates[0].ours)))
        return [*rates, *latencies]


async def _rates(
    bench: BenchEnvironment, urls: Mapping[str, str], workers: str, others: Mapping[str, Run] | None = None
) -> list[Result]:
    bench.say(f"gateway: leads a second, {workers}")
    runs: dict[str, Run] = {
        name: lambda url=url: accepted_a_second(url, bench.rate_seconds)  # type: ignore[misc]
        for name, url in urls.items()
    }
    # Short and frequent turns, because the speed of the machine changes within seconds.
    rates = await in_turns(runs | dict(others or {}), bench.turns)
    results = [
        Result(
            f"gateway with {workers}, leads a second", against, "leads/s", rates["ours"], rates[name], limit
        )
        for name, (against, limit) in (REFERENCES | {"outpost": (outpost.NAME, Limit())}).items()
        if name in rates
    ]
    spooling = f"gateway with {workers} and Kafka away, leads a second fsynced"
    return [
        *results,
        Result(
            spooling, "itself with Kafka there", "leads/s", rates["away"], rates["ours"], Limit(at_least=0.5)
        ),
    ]


async def _latencies(bench: BenchEnvironment, urls: Mapping[str, str], rates: Result) -> list[Result]:
    rate = min(rates.ours) / 2
    bench.say(f"gateway: answers at {rate:.0f} leads a second, half of what it takes")
    p99s: dict[str, list[float]] = {"ours": [], "bare": []}

    async def p50(name: str) -> float:
        answers = await answered_in(urls[name], rate, bench.seconds)
        if answers.refused:
            raise RuntimeError(f"{name} refused {answers.refused} of {answers.sent} leads")
        p99s[name].append(answers.p99)
        return answers.p50

    p50s = await in_turns({"ours": lambda: p50("ours"), "bare": lambda: p50("bare")}, bench.turns)
    against = REFERENCES["bare"][0]
    return [
        Result(f"gateway, {name} at half its limit", against, "ms", figures["ours"], figures["bare"], limit)
        for name, figures, limit in (
            ("p50", p50s, Limit(at_most=1.5)),
            ("p99", p99s, Limit(at_most=1.3)),
        )
    ]


async def _curve(bench: BenchEnvironment, urls: Mapping[str, str], limit: float) -> Curve:
    bench.say("gateway: how the answers' times follow the load")
    lines: dict[str, list[tuple[float, float]]] = {}
    for share in (0.1, 0.25, 0.5, 0.65, 0.8):
        rate = limit * share
        for name in ("ours", "bare"):
            answers = await answered_in(urls[name], rate, bench.seconds)
            for quantile, took in (("p50", answers.p50), ("p99", answers.p99)):
                lines.setdefault(f"{name} {quantile}", []).append((round(rate), round(took, 2)))
    return Curve("gateway latency against load", "leads a second", "ms", lines)
