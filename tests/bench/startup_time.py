"""Startup time: compares each service with the import of its two frameworks.

The moment is the first /livez: the HTTP server then answers, and what is left of readiness is the others'
doing, Kafka's above all (a consumer's group lets it join seconds later). Nothing is there to connect to.
"""

import asyncio
import http.client
import subprocess
import sys
import time
from collections.abc import Collection
from typing import Final

from tests.bench.environment import TOKEN, BenchEnvironment
from tests.bench.measure import Limit, Result, Run, in_turns
from tests.bench.placement import running_on
from tests.support.services.processes import ROOT, ServiceProcess

# The gateway, which websites miss first, and the admin service, which imports the most. The others start
# about as fast as the gateway.
NAMES: Final = ("ingest", "admin")
NOWHERE: Final = "127.0.0.1:1"
LOOK_SECONDS: Final = 0.002


def _environment(bench: BenchEnvironment) -> dict[str, str]:
    return {
        "KAFKA_BOOTSTRAP_SERVERS": NOWHERE,
        "DATABASE_URL": f"postgresql://nobody@{NOWHERE}/nothing",
        "SMTP_HOST": "127.0.0.1",
        "SMTP_PORT": "1",
        "SMTP_TLS": "false",
        "FROM_EMAIL": "hello@fast.example",
        "ADMIN_EMAIL": "boss@fast.example",
        "FASTCORE_SITE_INGEST_TOKEN": TOKEN,
        "FASTCORE_ADMIN_TOKEN": TOKEN,
        "FASTCORE_INGEST_SPOOL_FOLDER": str(bench.folder / "spool-start"),
        "LOG_LEVEL": "ERROR",
    }


def _alive(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/livez")
        return connection.getresponse().status == http.HTTPStatus.OK
    except OSError:
        return False
    finally:
        connection.close()


def _started(process: ServiceProcess, measured: Collection[int]) -> float:
    """Start a service; return the milliseconds until its first response."""
    began = time.perf_counter()
    with running_on(measured):
        process.start()
    try:
        while not _alive(process.port):
            assert process.process
            assert process.process.poll() is None, process.log.read_text()[-2000:]
            time.sleep(LOOK_SECONDS)
        return 1000 * (time.perf_counter() - began)
    finally:
        process.kill()


def _imported(measured: Collection[int]) -> float:
    began = time.perf_counter()
    with running_on(measured):
        subprocess.run([sys.executable, "-c", "import fastapi, faststream"], cwd=ROOT, check=True)
    return 1000 * (time.perf_counter() - began)


async def compare(bench: BenchEnvironment) -> list[Result]:
    """Start each service and import the frameworks in turns."""
    bench.say("start: from exec to the first answer")
    runs: dict[str, Run] = {"": lambda: asyncio.to_thread(_imported, bench.measured)}
    for name in NAMES:
        process = ServiceProcess(name, _environment(bench), bench.folder)
        runs[name] = lambda process=process: asyncio.to_thread(  # type: ignore[misc]
            _started, process, bench.measured
        )
    if not bench.quick:
        for run in runs.values():
            await run()  # warm up the bytecode and the disk cache
    times = await in_turns(runs, bench.turns)
    against, limit = 'python -c "import fastapi, faststream"', Limit(at_most=4.0)
    return [
        Result(f"start of {name}, exec to /livez", against, "ms", times[name], times[""], limit)
        for name in NAMES
    ]
